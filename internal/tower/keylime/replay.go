package keylime

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// StartReplay starts a server that answers from recorded files in dir: routes gives
// for each path, with its query where it has one, the name of a file without its
// ".http". Everything else is 404. It stops when ctx ends.
func StartReplay(ctx context.Context, settings *tls.Config, dir string, routes map[string]string) (*Server, error) {
	recorded := map[string]recording{}
	for path, name := range routes {
		found, err := load(filepath.Join(dir, name+".http"))
		if err != nil {
			return nil, err
		}
		recorded[path] = found
	}
	return listen(ctx, "127.0.0.1:0", settings, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found, ok := recorded[r.URL.RequestURI()]
		if !ok {
			answer(w, http.StatusNotFound, "text/html; charset=UTF-8", "")
			return
		}
		for key, values := range found.header {
			w.Header()[key] = values
		}
		w.WriteHeader(found.code)
		write(w, found.body)
	}))
}

// A recording is one recorded answer.
type recording struct {
	code   int
	header http.Header
	body   []byte
}

func load(path string) (recording, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return recording{}, fmt.Errorf("load a recorded answer: %w", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
	if err != nil {
		return recording{}, fmt.Errorf("load %s: %w", path, err)
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return recording{}, fmt.Errorf("load %s: %w", path, err)
	}
	return recording{code: response.StatusCode, header: response.Header, body: body}, nil
}
