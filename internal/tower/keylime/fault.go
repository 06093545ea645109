package keylime

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Fault is a way in which a server answers wrongly, or not at all.
type Fault string

// The faults.
const (
	NoFault     Fault = ""
	Silent      Fault = "silent"      // takes the connection and hangs before its handshake
	Hang        Fault = "hang"        // takes the request and never answers
	SlowBytes   Fault = "slow-bytes"  // answers, a byte every 20 ms
	Truncated   Fault = "truncated"   // promises the whole answer and breaks off in the middle
	Cut         Fault = "cut"         // sends half of the document as if it were all
	WrongTypes  Fault = "wrong-types" // numbers as texts and texts as numbers
	Doubled     Fault = "doubled"     // every agent twice
	HTMLPage    Fault = "html"        // 200 with an error page
	Gzip        Fault = "gzip"        // compressed without being asked to
	Endless     Fault = "endless"     // one agent's entry that never ends
	Deep        Fault = "deep"        // an agent of 20,000 nested lists
	Redirect    Fault = "redirect"    // 307 to another host
	Locked      Fault = "locked"      // 500 with an empty body, as with a locked database
	Refused     Fault = "refused"     // 403 in the shape of the authorization layer
	Unversioned Fault = "unversioned" // 404 of the router for every version
	BadGateway  Fault = "bad-gateway" // 502 of a proxy
	NoDate      Fault = "no-date"     // no Date
)

// faulty answers wrongly where a fault is on, and else lets routes answer.
func (s *Server) faulty(routes http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.add(apiPath(r.URL.Path))
		fault, release := s.broken()
		switch fault {
		case Hang:
			select {
			case <-release:
			case <-r.Context().Done():
			}
			panic(http.ErrAbortHandler)
		case HTMLPage:
			answer(w, http.StatusOK, "text/html", "<html><body>It works!</body></html>")
		case Redirect:
			http.Redirect(w, r, "https://keylime.invalid/", http.StatusTemporaryRedirect)
		case Locked:
			answer(w, http.StatusInternalServerError, "text/html; charset=UTF-8", "")
		case Refused:
			refuse(w, "list_agents")
		case BadGateway:
			answer(w, http.StatusBadGateway, "text/html", "<html><body><h1>502 Bad Gateway</h1></body></html>")
		case NoFault:
			routes.ServeHTTP(w, r)
		default:
			if !strings.HasSuffix(r.URL.Path, "/agents/") {
				routes.ServeHTTP(w, r)
				return
			}
			spoil(w, r, fault, release, routes)
		}
	})
}

// spoil lets routes answer and breaks the answer on its way.
func spoil(w http.ResponseWriter, r *http.Request, fault Fault, release <-chan struct{}, routes http.Handler) {
	var whole recorder
	routes.ServeHTTP(&whole, r)
	body := whole.body.Bytes()
	for key, value := range whole.Header() {
		w.Header()[key] = value
	}
	switch fault {
	case SlowBytes:
		dribble(w, r, body, release)
	case Truncated:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		write(w, body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case Cut:
		write(w, body[:len(body)/2])
	case WrongTypes:
		write(w, wrongTypes(body))
	case Doubled:
		write(w, doubled(body))
	case Gzip:
		w.Header().Set("Content-Encoding", "gzip")
		zipped := gzip.NewWriter(w)
		_, _ = zipped.Write(body)
		_ = zipped.Close()
	case Endless:
		endless(w, r, release)
	case Deep:
		write(w, []byte(`{"code": 200, "status": "Success", "results": {"deep": {"ip": `+strings.Repeat("[", 20_000)))
	case Unversioned:
		w.Header().Del("Content-Length")
		answer(w, http.StatusNotFound, "text/html; charset=UTF-8", "")
	case NoDate:
		w.Header()["Date"] = nil
		write(w, body)
	default:
		write(w, body)
	}
}

func wrongTypes(body []byte) []byte {
	body = bytes.ReplaceAll(body, []byte(`"operational_state": 3`), []byte(`"operational_state": "3"`))
	body = bytes.ReplaceAll(body, []byte(`"attestation_count": `), []byte(`"attestation_count": -`))
	return bytes.ReplaceAll(body, []byte(`"hash_alg": "sha256"`), []byte(`"hash_alg": 256`))
}

// doubled repeats the members of "results", which no JSON library would write.
func doubled(body []byte) []byte {
	open := []byte(`"results": {`)
	before, members, found := bytes.Cut(body, open)
	members = bytes.TrimSuffix(members, []byte("}}"))
	if !found || len(members) == 0 {
		return body
	}
	return bytes.Join([][]byte{before, open, members, []byte(", "), members, []byte("}}")}, nil)
}

// dribble sends a byte every 20 ms until the client goes away or the fault ends.
func dribble(w http.ResponseWriter, r *http.Request, body []byte, release <-chan struct{}) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for i := range body {
		write(w, body[i:i+1])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-ticker.C:
		case <-release:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// endless sends one agent's metadata without end.
func endless(w http.ResponseWriter, r *http.Request, release <-chan struct{}) {
	write(w, []byte(`{"code": 200, "status": "Success", "results": {"endless": {"meta_data": "`))
	chunk := bytes.Repeat([]byte("x"), 1<<16)
	for {
		select {
		case <-release:
			return
		case <-r.Context().Done():
			return
		default:
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// A recorder keeps an answer so that it can be spoilt.
type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}

func (r *recorder) WriteHeader(int) {}

func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
