package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"campagnol/internal/cli"
	"campagnol/pki/enroll"
	"campagnol/punch"
)

// A joiner is the command "campagnol join".
type joiner struct {
	config, dir string
	server      string // HOST:PORT in place of the token's; "": that
	noStart     bool
	force       bool

	tls     tlsOptions
	service joinService

	now   func() time.Time
	start func(ctx context.Context, config string) error // the client, in the background
	out   io.Writer                                      // the result
	err   io.Writer                                      // what is going on
}

const joinHelp = `Make this host a member of a VPN. TOKEN is what "campagnol ca invite" has shown,
or "-" to read it from the standard input, where nobody sees it in the list of
processes.

The host makes a key, gets its certificate from the VPN's authority by the
rendezvous server, writes both and a configuration, and starts the client in the
background. What exists already is not touched, unless --force is given; then
copies with the ending .old remain.

If it is interrupted, or something has to be mended first, run the same command
again: the token is good for the key that was made.`

// newJoinCommand returns the command.
func newJoinCommand() *cobra.Command {
	return joinCommand(&joiner{now: time.Now, start: startClient, service: newJoinService()})
}

func joinCommand(j *joiner) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "join TOKEN",
		Short:   "Make this host a member of a VPN, by a token",
		Long:    joinHelp,
		Example: "  campagnol join campagnol-ae3wk5...\n  campagnol join --service campagnol-ae3wk5...\n  campagnol join - --no-start < token",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			err := errors.New("join: the token is missing")
			if len(args) > 1 {
				err = errors.New("join: one token, and nothing else")
			}
			return cli.WithHint(err, `%q explains the command`, "campagnol join --help")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			j.out, j.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if j.service.wanted && !cmd.Flags().Changed("dir") {
				j.dir = serviceDir
			}
			text := args[0]
			if text == "-" {
				var err error
				if text, err = bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 4096)).ReadString('\n'); err != nil && err != io.EOF {
					return fmt.Errorf("join: %w", err)
				}
			}
			token, err := enroll.ParseToken(text)
			if err != nil {
				return fmt.Errorf("join: %w", err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return j.run(ctx, token)
		},
	}
	f := cmd.Flags()
	f.StringVar(&j.config, "config", defaultConf, "write the configuration to this `file`")
	f.StringVar(&j.dir, "dir", strings.TrimSuffix(caEtc, "/"), "write key and certificates to this `directory`")
	f.Var((*caServer)(&j.server), "rdv", "reach the rendezvous server here, and not where the token says")
	j.tls.flags(f)
	f.BoolVar(&j.service.wanted, "service", false, "let systemd start the client, at boot, too, as the service of the package:\nkey and certificates are in "+serviceDir+"\nthen, and belong to the user "+serviceUser)
	f.BoolVar(&j.noStart, "no-start", false, "do not start the client")
	f.BoolVar(&j.force, "force", false, "replace what exists already; copies remain")
	return cmd
}

// run joins.
func (j *joiner) run(ctx context.Context, token *enroll.Token) error {
	if err := j.service.check(j.config); err != nil {
		return err
	}
	files, err := newJoinFiles(j.config, j.dir, token.ID)
	if err != nil {
		return err
	}
	files.fallbackPort, files.proxy = j.tls.port, j.tls.proxy.url
	server := cmp.Or(j.server, token.Server)
	if list := files.obstacles(server); len(list) > 0 && !j.force {
		return cli.WithHint(fmt.Errorf("join: this host is set up already:\n%s", strings.Join(list, "\n")),
			"--force replaces it; for a second VPN choose other places with --config and --dir")
	}
	servers, err := joinServers(ctx, server)
	if err != nil {
		return err
	}
	key, err := files.takeKey(rand.Reader)
	if err != nil {
		return err
	}
	ex, err := enroll.NewEnrolment(rand.Reader, token, key)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	fmt.Fprintf(j.err, "the rendezvous server is %s (%s)\n", server, addrList(servers))
	var dial func(context.Context, netip.AddrPort) (punch.Conn, error)
	if streams := sealedStreams(j.tls.port, j.tls.proxy.url); streams != nil {
		dial = streams(server)
	}
	err = joinExchange(ctx, rand.Reader, ex, servers, dial, func(s string) { fmt.Fprintln(j.err, s) })
	if err != nil {
		return err
	}
	result, err := ex.Result()
	if err != nil {
		return joinRefused(err)
	}
	return j.finish(ctx, files, result)
}

// finish writes what an exchange has brought, and starts the client.
func (j *joiner) finish(ctx context.Context, files *joinFiles, r *enroll.Result) error {
	content, err := files.content(j.now(), r, cmp.Or(j.server, r.Server))
	if err != nil {
		return err
	}
	if err := files.write(content, j.force); err != nil {
		return err
	}
	start, line := j.start, program+" -D "+files.config
	if j.service.wanted {
		if err := j.service.give(files.dir, files.config, content); err != nil {
			return err
		}
		start, line = j.service.start, "systemctl enable --now "+serviceName
	}
	for _, f := range content {
		fmt.Fprintf(j.err, "wrote %s\n", f.path)
	}
	fmt.Fprintf(j.out, "this host is %s, %s in the VPN %s, until %s\n", r.Name, caAddrs(r.Addrs), networksText(r), caDate(r.Chain[0].NotAfter))
	if err := r.CheckClock(j.now()); err != nil {
		return cli.WithHint(fmt.Errorf("join: %w", err), "set the clock, and start the client: %s", line)
	}
	if j.noStart {
		fmt.Fprintf(j.out, "start the client with:\n  %s\n", line)
		return nil
	}
	if err := start(ctx, files.config); err != nil {
		return cli.WithHint(fmt.Errorf("join: this host has all that it needs, but the client does not start: %w", err),
			"mend it, and start the client: %s", line)
	}
	fmt.Fprintf(j.out, "the client runs; see how it is, who is there, and reach a host of the VPN:\n  %[1]s status\n  %[1]s peers --all\n  %[1]s ping NAME\n", program)
	return nil
}

// startClient starts the client, as "campagnol -D CONFIG" does.
func startClient(ctx context.Context, config string) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, "-D", config)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd.Run()
}
