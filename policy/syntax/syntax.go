// Package syntax reads the parts that the policy APIs have in common: label
// selectors and blocks of addresses.
//
// What it returns is in canonical form: things written differently but plainly
// equal become equal strings, and so one matcher. Errors carry the field's path
// and a way out. The package is pure and may be used by several goroutines.
package syntax
