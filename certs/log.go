package certs

import "log/slog"

// A failureLog writes that something fails when it begins to, when the reason
// changes, and when it works again.
type failureLog struct {
	logger  *slog.Logger
	failing map[what]LoadReason
}

// what is read: its kind and name.
type what struct{ kind, name string }

func newFailureLog(logger *slog.Logger) failureLog {
	return failureLog{logger: logger, failing: map[what]LoadReason{}}
}

func (l failureLog) note(kind, name string, err error) {
	item, reason := what{kind, name}, reasonOf(err)
	before, was := l.failing[item]
	switch {
	case err == nil && was:
		l.logger.Info("Certificates can be read again", "kind", kind, "name", name)
		delete(l.failing, item)
	case err != nil && reason != before:
		l.logger.Warn("Certificates can't be read", "kind", kind, "name", name, "reason", reason, "err", err)
		l.failing[item] = reason
	}
}
