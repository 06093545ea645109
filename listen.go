package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"

	"funlab.casa/attestation_exporter/collector"
)

// shutdownGrace is how long scrapes in progress may go on after SIGTERM.
const shutdownGrace = 5 * time.Second

// listen serves metrics under path until ctx ends.
func listen(ctx context.Context, logger *slog.Logger, toolkit *web.FlagConfig, anonymous bool, path string, metrics http.Handler) error {
	if !strings.HasPrefix(path, "/") || path == "/" {
		return fmt.Errorf("--web.telemetry-path=%q must begin with a slash and not be the landing page, such as /metrics", path)
	}
	if err := web.Validate(*toolkit.WebConfigFile); err != nil {
		return fmt.Errorf("--web.config.file=%s: %w", *toolkit.WebConfigFile, err)
	}
	if !anonymous {
		if err := refuseAnonymous(ctx, toolkit); err != nil {
			return err
		}
	}
	mux, err := routes(path, metrics)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      collector.MaxRequestTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          newServerLog(logger),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		logger.Info("Stopping")
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := web.ListenAndServe(server, toolkit, logger); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if err := <-stopped; err != nil {
		logger.Warn("Cut off what was still being served", "err", err)
	}
	return nil
}

func routes(path string, metrics http.Handler) (http.Handler, error) {
	page, err := landing(path, metrics)
	if err != nil {
		return nil, fmt.Errorf("make the landing page: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+path, metrics)
	mux.Handle("GET /{$}", page)
	for _, probe := range []string{"healthy", "ready"} {
		mux.HandleFunc("GET /-/"+probe, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "%s is %s.\n", name, probe)
		})
	}
	return mux, nil
}

// refuseAnonymous returns an error unless all listeners are on loopback or every
// client has to prove who it is: what is served tells an attacker which hosts are
// worth a visit. Whose address can't be known beforehand, a socket of systemd's or
// a virtual machine's, isn't taken for loopback.
func refuseAnonymous(ctx context.Context, toolkit *web.FlagConfig) error {
	authenticated, err := authenticates(*toolkit.WebConfigFile)
	if err != nil || authenticated {
		return err
	}
	if *toolkit.WebSystemdSocket {
		return errors.New("--web.systemd-socket needs client authentication in --web.config.file, or --web.allow-anonymous")
	}
	for _, address := range *toolkit.WebListenAddresses {
		loopback, err := onLoopback(ctx, address)
		if err != nil {
			return fmt.Errorf("--web.listen-address=%s: %w", address, err)
		}
		if !loopback {
			return fmt.Errorf("--web.listen-address=%s isn't loopback: it needs client authentication in --web.config.file (basic_auth_users, or client_auth_type: RequireAndVerifyClientCert), or --web.allow-anonymous", address)
		}
	}
	return nil
}

// authenticates reports whether the toolkit's configuration file makes every
// client prove who it is.
func authenticates(file string) (bool, error) {
	if file == "" {
		return false, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("read --web.config.file: %w", err)
	}
	var config web.Config
	if err := yaml.Unmarshal(content, &config); err != nil {
		return false, fmt.Errorf("parse --web.config.file=%s: %w", file, err)
	}
	return len(config.Users) > 0 || config.TLSConfig.ClientAuth == "RequireAndVerifyClientCert", nil
}

// onLoopback reports whether nobody outside this host can reach address. A name
// counts when all that it stands for does; an empty host stands for all interfaces.
func onLoopback(ctx context.Context, address string) (bool, error) {
	if strings.HasPrefix(address, "vsock://") {
		return false, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, err
	}
	if host == "" {
		return false, nil
	}
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return false, err
	}
	for _, a := range addresses {
		if !a.IP.IsLoopback() {
			return false, nil
		}
	}
	return true, nil
}
