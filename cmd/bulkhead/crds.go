package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/cluster/kube"
	"github.com/bulkhead-dev/bulkhead/crds"
)

const crdsHelp = `Print CustomResourceDefinitions for policies of other engines.

They are for clusters where the engine itself is absent, so that its policies can be
applied unchanged:

  policy  ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy
  calico  Calico's policies, tiers, network sets and host endpoints, in both groups
  cilium  CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, CiliumCIDRGroup

Where the engine is there its own definitions must stay: with --kubeconfig those that
the cluster has from somebody else are left out, and named on standard error.`

func newCRDsCommand() *cobra.Command {
	var kubeconfig string
	cmd := &cobra.Command{
		Use:       "crds {policy|calico|cilium}...",
		Short:     "Print definitions for policies of other engines",
		Long:      crdsHelp,
		GroupID:   groupNode,
		ValidArgs: crds.APIs(),
		Example: `  bulkhead crds policy | kubectl apply --server-side -f -
  bulkhead crds calico cilium --kubeconfig ~/.kube/config | kubectl apply --server-side -f -`,
		Args: usage(cobra.MatchAll(cobra.MinimumNArgs(1), cobra.OnlyValidArgs)),
		RunE: func(cmd *cobra.Command, args []string) error {
			definitions, err := definitionsOf(args)
			if err == nil && kubeconfig != "" {
				definitions, err = withoutForeign(cmd, kubeconfig, definitions)
			}
			if err != nil {
				return err
			}
			text, err := crds.YAML(definitions)
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "leave out what others have installed in the cluster of this `FILE`'s current context")
	return cmd
}

func definitionsOf(apis []string) ([]crds.Definition, error) {
	var all []crds.Definition
	for i, api := range apis {
		if slices.Index(apis, api) < i {
			continue
		}
		some, err := crds.Of(api)
		if err != nil {
			return nil, badInput(err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// withoutForeign leaves out the definitions that the cluster has and that are not
// ours.
func withoutForeign(cmd *cobra.Command, kubeconfig string, all []crds.Definition) ([]crds.Definition, error) {
	client, err := kube.Connect(kubeconfig, "bulkhead/"+version())
	if err != nil {
		return nil, badInput(err)
	}
	installed, err := client.DefinitionLabels(cmd.Context())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(d crds.Definition) bool {
		labels, there := installed[d.Name]
		foreign := there && labels[crds.Label] != crds.LabelValue
		if foreign {
			fmt.Fprintf(cmd.ErrOrStderr(), "left out %s: the cluster has it from somebody else\n", d.Name)
		}
		return foreign
	}), nil
}
