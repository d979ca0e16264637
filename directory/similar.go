package directory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// mostSimilar bounds the suggestions.
const mostSimilar = 3

// notFound is the error for a name that nothing has, with similar names.
func (d *Directory) notFound(kind, name string) error {
	err := fmt.Errorf("there is no %s %q", kind, name)
	if similar := d.similar(name); len(similar) > 0 {
		return fmt.Errorf("%w; did you mean %s?", err, strings.Join(similar, " or "))
	}
	if !strings.Contains(name, "/") {
		return fmt.Errorf("%w; write NAMESPACE/POD, node/NAME, ip/ADDRESS or service/NAMESPACE/NAME", err)
	}
	return err
}

// similar are the names nearest to a wrong one: what differs in few characters,
// and what has the same last part in another place.
func (d *Directory) similar(name string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	bare := name[strings.LastIndexByte(name, '/')+1:]
	for _, known := range d.names() {
		distance := editDistance(name, known)
		if known[strings.LastIndexByte(known, '/')+1:] == bare {
			distance = min(distance, 2)
		}
		if distance <= max(2, len(name)/5) {
			found = append(found, candidate{known, distance})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	var names []string
	for _, c := range found[:min(mostSimilar, len(found))] {
		names = append(names, c.name)
	}
	return names
}

// names are all names that Find knows, each once.
func (d *Directory) names() []string {
	var names []string
	for name, pod := range d.snapshot.Pods {
		names = append(names, name.String())
		if _, bare, ok := strings.Cut(pod.Workload, "/"); ok {
			names = append(names, name.Namespace+"/"+bare)
		}
	}
	for name := range d.snapshot.Nodes {
		names = append(names, "node/"+name)
	}
	for name := range d.snapshot.Services {
		names = append(names, "service/"+name.String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// editDistance is how many characters must be added, removed or replaced to get
// from a to b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
