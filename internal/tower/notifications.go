package tower

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Notification is one alert in one state, as Alertmanager delivered it.
type Notification struct {
	Receiver    string
	Status      string // firing or resolved
	Labels      map[string]string
	Annotations map[string]string
	At          time.Time
}

// Alert is the alert's name.
func (n Notification) Alert() string { return n.Labels["alertname"] }

// An inbox is the webhook at the end of the road: it keeps what was delivered, and
// each alert only when its state is news.
type inbox struct {
	server *http.Server
	url    string

	mu       sync.Mutex
	state    map[string]string
	received []Notification
	changed  chan struct{}
	notify   func(Notification)
}

// newInbox listens on loopback and calls notify (if any) with each piece of news.
func newInbox(ctx context.Context, notify func(Notification)) (*inbox, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for notifications: %w", err)
	}
	box := &inbox{
		url:     "http://" + listener.Addr().String(),
		state:   map[string]string{},
		changed: make(chan struct{}),
		notify:  notify,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{receiver}", box.receive)
	box.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = box.server.Serve(listener) }()
	return box, nil
}

func (b *inbox) close() { _ = b.server.Close() }

func (b *inbox) receive(w http.ResponseWriter, r *http.Request) {
	var message struct {
		Alerts []struct {
			Status      string            `json:"status"`
			Fingerprint string            `json:"fingerprint"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"alerts"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 8<<20)).Decode(&message); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, a := range message.Alerts {
		b.add(a.Fingerprint, Notification{
			Receiver: r.PathValue("receiver"), Status: a.Status,
			Labels: a.Labels, Annotations: a.Annotations, At: time.Now(),
		})
	}
}

func (b *inbox) add(fingerprint string, n Notification) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := n.Receiver + " " + fingerprint
	if b.state[key] == n.Status {
		return
	}
	b.state[key] = n.Status
	b.received = append(b.received, n)
	close(b.changed)
	b.changed = make(chan struct{})
	if b.notify != nil {
		b.notify(n)
	}
}

// all returns what was delivered so far, and a channel that is closed when there
// is more.
func (b *inbox) all() ([]Notification, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.received), b.changed
}

// Line says in one line what was delivered.
func (n Notification) Line() string {
	var where []string
	for _, label := range []string{"host", "agent", "verifier", "collector", "name", "bundle", "timer", "service", "bank", "pcr", "parameter"} {
		if value := n.Labels[label]; value != "" {
			where = append(where, label+"="+value)
		}
	}
	return fmt.Sprintf("%s  %-8s %-8s %s  %s\n%10s%s",
		n.At.Format(time.TimeOnly), strings.ToUpper(n.Status), n.Labels["severity"], n.Alert(), strings.Join(where, " "),
		"", n.Annotations["summary"])
}
