package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/lab/control"
)

// newLabServeCommand is the process that the lab lives in. The other commands
// start it.
func newLabServeCommand() *cobra.Command {
	var home string
	var level slog.Level
	cmd := &cobra.Command{
		Use:    "serve",
		Hidden: true,
		Args:   usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilInterrupt(cmd)
			defer stop()
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			return control.Serve(ctx, control.HomeAt(home), control.FirstFile(), log)
		},
	}
	cmd.Flags().StringVar(&home, "home", "", "")
	cmd.Flags().TextVar(&level, "log-level", slog.LevelWarn, "")
	return cmd
}
