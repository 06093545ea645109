package keylime

import (
	"encoding/json"
	"net/http"
	"strings"
)

// answer writes a whole answer as Tornado does.
func answer(w http.ResponseWriter, code int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Server", "TornadoServer/6.2")
	w.WriteHeader(code)
	write(w, []byte(body))
}

// write sends what can be sent: a client that went away needs no more.
func write(w http.ResponseWriter, body []byte) { _, _ = w.Write(body) }

// An envelope is the shape of most of Keylime's answers.
type envelope struct {
	Code    int    `json:"code"`
	Status  string `json:"status"`
	Results any    `json:"results"`
}

// nothing is the empty object that an envelope without results holds.
type nothing struct{}

// enveloped answers in the verifier's form: one line, with Python's blanks.
func enveloped(w http.ResponseWriter, code int, status string, results any) {
	text, err := json.Marshal(envelope{Code: code, Status: status, Results: results})
	if err != nil {
		answer(w, http.StatusInternalServerError, "text/html; charset=UTF-8", "")
		return
	}
	answer(w, code, "application/json", string(spaced(text)))
}

// indented answers in the registrar's form.
func indented(w http.ResponseWriter, code int, status string, results any) {
	text, err := json.MarshalIndent(envelope{Code: code, Status: status, Results: results}, "", "    ")
	if err != nil {
		answer(w, http.StatusInternalServerError, "text/html; charset=UTF-8", "")
		return
	}
	answer(w, code, "application/json", string(text))
}

// refuse answers as the authorization layer does.
func refuse(w http.ResponseWriter, action string) {
	type problem struct {
		Status string `json:"status"`
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	text, err := json.Marshal(map[string][]problem{"errors": {{
		Status: "403", Title: "Forbidden",
		Detail: "Action " + action + " requires admin authentication (mTLS certificate)",
	}}})
	if err != nil {
		text = nil
	}
	answer(w, http.StatusForbidden, "application/json; charset=UTF-8", string(spaced(text)))
}

// admitted reports whether the client showed a certificate, and refuses it if not.
// The handshake has verified it: any that does is an administrator to Keylime.
func admitted(w http.ResponseWriter, r *http.Request, action string) bool {
	if len(r.TLS.PeerCertificates) > 0 {
		return true
	}
	refuse(w, action)
	return false
}

// wellFormed refuses what Keylime refuses of a GET before it looks at its path.
func wellFormed(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.Method != http.MethodGet:
		answer(w, http.StatusMethodNotAllowed, "text/html; charset=UTF-8", "")
	case r.Header.Get("Content-Type") != "":
		answer(w, http.StatusBadRequest, "text/html; charset=UTF-8", "")
	case r.Header.Get("Authorization") != "":
		answer(w, http.StatusUnauthorized, "application/json; charset=UTF-8",
			`{"errors": [{"status": "401", "title": "Unauthorized", "detail": "Invalid authentication token"}]}`)
	default:
		return true
	}
	return false
}

// apiPath takes the version off a path: /v2.6/agents/ID is agents/ID.
func apiPath(path string) string {
	path = strings.TrimPrefix(path, "/")
	if first, rest, found := strings.Cut(path, "/"); found && strings.HasPrefix(first, "v") {
		return rest
	}
	return path
}

// spaced puts a blank after each comma and colon between JSON's tokens, where
// Python's json module has one.
func spaced(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/8)
	inside, escaped := false, false
	for _, c := range text {
		out = append(out, c)
		switch {
		case escaped:
			escaped = false
		case inside && c == '\\':
			escaped = true
		case c == '"':
			inside = !inside
		case !inside && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}
