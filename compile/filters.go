package compile

import "github.com/bulkhead-dev/bulkhead/l7"

// filters are the filters that rows have, each once.
type filters struct {
	byID    map[l7.FilterID]*filter
	stirred map[*filter]struct{}
}

// filter is one filter and the number of rows with it.
type filter struct {
	id   l7.FilterID
	is   l7.Filter
	refs int
}

func newFilters() *filters {
	return &filters{byID: map[l7.FilterID]*filter{}, stirred: map[*filter]struct{}{}}
}

// intern is the one filter with that content.
func (f *filters) intern(is l7.Filter) *filter {
	id := is.ID()
	found, ok := f.byID[id]
	if !ok {
		found = &filter{id: id, is: is}
		f.byID[id] = found
		f.stirred[found] = struct{}{}
	}
	return found
}

func (f *filters) hold(rows []row)    { f.count(rows, 1) }
func (f *filters) release(rows []row) { f.count(rows, -1) }

func (f *filters) count(rows []row, n int) {
	for _, r := range rows {
		if r.filter != nil {
			r.filter.refs += n
			f.stirred[r.filter] = struct{}{}
		}
	}
}

// settle writes the filters that have come and forgets those that no row has.
func (f *filters) settle(out *table[l7.FilterID, l7.Filter]) {
	for one := range f.stirred {
		if one.refs > 0 {
			out.set(one.id, one.is)
		} else {
			out.delete(one.id)
			delete(f.byID, one.id)
		}
	}
	clear(f.stirred)
}
