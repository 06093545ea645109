package tower

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// controlSocket is where a running Tower listens for its faults.
const controlSocket = "control.sock"

// Serve lets other processes break and mend the Tower by Ask, and calls stop when
// one asks to stop it. It returns once it listens, and listens until Close.
func (t *Tower) Serve(ctx context.Context, stop func()) error {
	path := filepath.Join(t.dir, controlSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("listen for faults: %w", err)
	}
	act := func(act func(context.Context, string) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := act(r.Context(), r.PathValue("fault")); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /break/{fault}", act(t.Break))
	mux.HandleFunc("POST /mend/{fault}", act(t.Mend))
	mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) { stop() })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	t.onClose(func() { _ = server.Close() })
	return nil
}

// Ask sends a request such as break/pcr7 or stop to the Tower that runs in dir.
func Ask(ctx context.Context, dir, request string) error {
	path := filepath.Join(dir, controlSocket)
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
	address := url.URL{Scheme: "http", Host: "tower", Path: "/" + request}
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), http.NoBody)
	if err != nil {
		return err
	}
	answer, err := client.Do(call)
	if err != nil {
		return fmt.Errorf("no demo is running here (start it with `make demo`): %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}
