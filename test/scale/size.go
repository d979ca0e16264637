package main

import "fmt"

// size is how much of everything a cluster has.
type size struct{ pods, namespaces, policies, local int }

const podsPerNode = 250

// sizeOf keeps the proportions of a cluster of 100,000 pods.
func sizeOf(pods, local int) size {
	return size{pods: pods, namespaces: max(1, pods/20), policies: pods / 10, local: local}
}

func (s size) nodes() int { return (s.pods + podsPerNode - 1) / podsPerNode }

func (s size) String() string {
	return fmt.Sprintf("%d pods, %d namespaces, %d policies, %d pods of the node", s.pods, s.namespaces, s.policies, s.local)
}
