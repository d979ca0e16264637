package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/doctor"
	"github.com/bulkhead-dev/bulkhead/neighbour"
)

const doctorHelp = `Look for what keeps policies from being enforced.

Without --kubeconfig it looks at this node: whether the kernel can do what Bulkhead
needs, whether Bulkhead or another policy engine enforces here, and whether something
lets packets pass around policies. Nothing is changed.

With --kubeconfig it looks at a cluster and names the engines that are installed.
--probe proves whether any of them enforces: in a namespace of its own, which it
removes again, a pod connects to another, before and after a policy denies it.

The exit code is 1 if something is bad.`

// doctorFlags are what doctor is told on the command line.
type doctorFlags struct {
	cni, kubeconfig, image string
	probe                  bool
}

func newDoctorCommand() *cobra.Command {
	var flags doctorFlags
	var out output
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Look for what keeps policies from being enforced",
		Long:    doctorHelp,
		GroupID: groupNode,
		Example: `  sudo bulkhead doctor
  bulkhead doctor --kubeconfig ~/.kube/config --probe`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := flags.examine(cmd)
			if err != nil {
				return badInput(err)
			}
			if err := out.printer(cmd).Print(report); err != nil {
				return err
			}
			if !report.Healthy() {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&flags.cni, "cni-dir", neighbour.CNIDir, "this node's CNI configuration is in `DIR`")
	cmd.Flags().StringVar(&flags.kubeconfig, "kubeconfig", "", "look at the cluster of this `FILE`'s current context, not at this node")
	cmd.Flags().BoolVar(&flags.probe, "probe", false, "with --kubeconfig, prove by pods whether policies are enforced")
	cmd.Flags().StringVar(&flags.image, "image", "ghcr.io/bulkhead-dev/bulkhead:"+version(), "with --probe, the `IMAGE` that the pods run, one of Bulkhead's")
	out.addFlags(cmd)
	cmd.AddCommand(newDoctorServeCommand(), newDoctorReachCommand())
	return cmd
}

func (f *doctorFlags) examine(cmd *cobra.Command) (doctor.Report, error) {
	if f.kubeconfig == "" {
		if f.probe {
			return doctor.Report{}, errors.New("--probe needs a cluster: give --kubeconfig")
		}
		return doctor.Node(cmd.Context(), f.cni), nil
	}
	client, err := kube.Connect(f.kubeconfig, "bulkhead/"+version())
	if err != nil {
		return doctor.Report{}, err
	}
	report := doctor.Cluster(cmd.Context(), client)
	if f.probe {
		probed := doctor.Probe{API: client, Image: f.image}.Run(cmd.Context())
		report.Findings = append(report.Findings, probed.Findings...)
	}
	return report, nil
}

// newDoctorServeCommand is what a probe's server runs.
func newDoctorServeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Hidden: true, Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := net.Listen("tcp", ":"+strconv.Itoa(doctor.ProbePort))
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			return doctor.Serve(cmd.Context(), listener)
		},
	}
}

// newDoctorReachCommand is what a probe's client runs; its exit code is the
// answer.
func newDoctorReachCommand() *cobra.Command {
	var want string
	cmd := &cobra.Command{
		Use: "reach ADDRESS:PORT", Hidden: true, Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if want != doctor.ReachAllowed && want != doctor.ReachDenied {
				return badInput(fmt.Errorf("--want %q: use %s or %s", want, doctor.ReachAllowed, doctor.ReachDenied))
			}
			if !doctor.Reach(cmd.Context(), args[0], want) {
				return errNo
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&want, "want", doctor.ReachAllowed, "what to see: allowed or denied")
	return cmd
}
