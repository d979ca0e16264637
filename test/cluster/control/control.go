// Package control is what a test cluster and those who steer it say to each
// other: its configuration, its state, and HTTP requests on a unix socket.
//
// It is plain data and standard library, so that a test may import it without
// importing a cluster.
package control

import "time"

// Config says what cluster to run. Zero values are ready to use but for the
// fields that say otherwise.
type Config struct {
	Nodes          int    `json:"nodes"`      // 0: 2
	Families       string `json:"families"`   // "": "ipv4"; see fabric.ParseFamilies
	PodNetwork     string `json:"podNetwork"` // "": "routed"; or "bridge"
	ReuseAddresses bool   `json:"reuseAddresses"`
	// ProxyMode is kube-proxy's: "" is "nftables"; "iptables"; "none" runs no
	// kube-proxy.
	ProxyMode string `json:"proxyMode"`
	// Engine is the command to run on every node, inside its network, UTS and
	// mount namespaces; nil runs none. Words in it are replaced: {node},
	// {node-ip}, {kubeconfig}.
	Engine []string `json:"engine"`
	// EngineReady is a URL that answers 200 on a node once its engine is ready;
	// "" does not wait.
	EngineReady string `json:"engineReady"`
	// EngineEnv is added to the engine's environment, NAME=value.
	EngineEnv []string `json:"engineEnv"`
	// Images are further folders of images, looked into first.
	Images []string `json:"images"`
	// NoDNS leaves out the cluster's name server.
	NoDNS bool `json:"noDNS"`

	// The rest is filled in by who starts the cluster.
	Dir      string            `json:"dir"`      // of the cluster's files
	Programs map[string]string `json:"programs"` // paths, by name
	Address  string            `json:"address"`  // at which the API server is reached from outside
}

// Defaults fills in what is zero.
func (c Config) Defaults() Config {
	if c.Nodes == 0 {
		c.Nodes = 2
	}
	for field, value := range map[*string]string{&c.Families: "ipv4", &c.PodNetwork: "routed", &c.ProxyMode: "nftables"} {
		if *field == "" {
			*field = value
		}
	}
	return c
}

// Status is how a cluster is.
type Status struct {
	Config     Config          `json:"config"`
	Started    time.Time       `json:"started"`
	StartTook  time.Duration   `json:"startTook"` // nanoseconds, until everything was ready
	Kubeconfig string          `json:"kubeconfig"`
	PID        int             `json:"pid"` // as the cluster's own processes see it
	Network    int             `json:"network"`
	Nodes      []Node          `json:"nodes"`
	Processes  []ProcessStatus `json:"processes"`
}

// Node is one machine of the cluster. Its namespaces are descriptors of the
// cluster's process.
type Node struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	PodRanges []string `json:"podRanges"`
	Network   int      `json:"network"`
	Mount     int      `json:"mount"`
	UTS       int      `json:"uts"`
	// Kubeconfig is the engine's on this node.
	Kubeconfig string `json:"kubeconfig"`
}

// Pod is a running pod's place.
type Pod struct {
	Node    string `json:"node"`
	Network int    `json:"network"` // descriptor of the cluster's process
}

// ProcessStatus is how one program of the cluster is.
type ProcessStatus struct {
	Name    string   `json:"name"` // such as kube-apiserver or engine/node-1
	Command []string `json:"command"`
	Log     string   `json:"log"`     // file with everything it has written
	Running bool     `json:"running"` //
	PID     int      `json:"pid"`     // as the cluster's own processes see it; 0: not running
	Starts  int      `json:"starts"`
	// Deaths counts how often it ended without having been told to.
	Deaths   int    `json:"deaths"`
	LastExit string `json:"lastExit"` // how it last ended; "" if it never did
}

// An Action is something to do with a process.
type Action string

const (
	StartProcess Action = "start"
	StopProcess  Action = "stop" // SIGTERM, and SIGKILL after Grace
	KillProcess  Action = "kill" // SIGKILL
	SignalOnly   Action = "signal"
)

// ProcessRequest asks for an action; it is answered when the action is done.
type ProcessRequest struct {
	Name    string        `json:"name"`
	Action  Action        `json:"action"`
	Command []string      `json:"command"` // to start it with from now on; nil: as before
	Signal  int           `json:"signal"`
	Grace   time.Duration `json:"grace"` // nanoseconds; 0: 10 seconds
}
