package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"campagnol/internal/daemon"
)

// tellInterval is how often it is looked whether the service manager has to be told
// something else. People look at it now and then; it need not be of this second.
const tellInterval = 2 * time.Second

// tell keeps the service manager, if there is one, informed about how the program is,
// until stop is called.
func (r *Running) tell(ctx context.Context, log *slog.Logger) (stop func()) {
	if r.Status == nil || !daemon.Managed() {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var teller sync.WaitGroup
	teller.Go(func() {
		ticker := time.NewTicker(tellInterval)
		defer ticker.Stop()
		last := ""
		for {
			asked, cancel := context.WithTimeout(ctx, tellInterval)
			if text := r.Status(asked); text != last && ctx.Err() == nil {
				notify(log, daemon.Status(text))
				last = text
			}
			cancel()
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		teller.Wait()
	}
}
