package cluster

// ModeLabel is the label by which a namespace chooses what its pods' policies
// do, whatever is chosen for the cluster: ModeEnforce or ModeAudit.
const ModeLabel = "bulkhead.dev/mode"

// The values of ModeLabel.
const (
	ModeEnforce = "enforce" // what the policies deny is denied
	ModeAudit   = "audit"   // what the policies deny is noted and let through
)
