package handshake

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// loggerFactory makes pion log to slog, at debug level whatever it thinks of
// the matter: a handshake that fails is reported by its error.
type loggerFactory struct{ log *slog.Logger }

func (f loggerFactory) NewLogger(string) logging.LeveledLogger { return logger(f) }

type logger struct{ log *slog.Logger }

func (l logger) Trace(string)          {}
func (l logger) Tracef(string, ...any) {}
func (l logger) Debug(msg string)      { l.log.Debug("DTLS handshake", "detail", msg) }
func (l logger) Info(msg string)       { l.Debug(msg) }
func (l logger) Warn(msg string)       { l.Debug(msg) }
func (l logger) Error(msg string)      { l.Debug(msg) }

func (l logger) Debugf(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) { // the peer must not make us format text for nobody
		l.Debug(fmt.Sprintf(format, args...))
	}
}
func (l logger) Infof(format string, args ...any)  { l.Debugf(format, args...) }
func (l logger) Warnf(format string, args ...any)  { l.Debugf(format, args...) }
func (l logger) Errorf(format string, args ...any) { l.Debugf(format, args...) }
