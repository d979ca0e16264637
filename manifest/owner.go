package manifest

// owned are the objects that own another object of the input. Their controller
// has done its work already: what it made is in the input and counts.
func (l *loader) owned() map[key]bool {
	owned := map[key]bool{}
	for _, o := range l.objects {
		if owner, ok := o.controller(); ok {
			owned[owner] = true
		}
	}
	return owned
}

// controller is the object's owner that made it.
func (o *object) controller() (key, bool) {
	references := o.body.GetOwnerReferences()
	for _, r := range references {
		if r.Controller != nil && *r.Controller || len(references) == 1 {
			return key{groupOf(r.APIVersion), r.Kind, o.Namespace, r.Name}, true
		}
	}
	return key{}, false
}

// maxOwners bounds the chain of owners, which in the input may be a ring.
const maxOwners = 10

// workloadOf is "Kind/name" of the topmost owner, as far up as the input shows;
// empty if it does not show the owner itself.
func (l *loader) workloadOf(o *object) string {
	top := ""
	for range maxOwners {
		owner, ok := o.controller()
		if !ok {
			break
		}
		if o = l.byKey[owner]; o == nil {
			break
		}
		top = o.Kind + "/" + o.Name
	}
	return top
}
