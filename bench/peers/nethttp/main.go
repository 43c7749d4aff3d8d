// Go's net/http and nothing else: a goroutine for each viewer, woken by a closed channel.
//
// Events form a linked list. A viewer's goroutine holds its place in it, so there is no queue per viewer, and
// publishing costs the same however many there are. A frame is rendered once; what has come while a viewer's
// goroutine was not running is written with one flush. An event that all have passed is freed by itself.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const mostBody = 1 << 20 // bytes

// event is a place in the list: frame and next may be read once ready is closed.
type event struct {
	ready chan struct{}
	frame []byte
	next  *event
}

func newEvent() *event { return &event{ready: make(chan struct{})} }

// topic has the events of one video; tip is the one to come.
type topic struct {
	mutex  sync.RWMutex
	tip    *event
	number uint64
}

func (t *topic) place() *event {
	t.mutex.RLock()
	defer t.mutex.RUnlock()
	return t.tip
}

// publish appends an event for each line of body, and returns how many.
func (t *topic) publish(body []byte) (count int) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for len(body) > 0 {
		var line []byte
		line, body, _ = bytes.Cut(body, []byte("\n"))
		if len(line) == 0 {
			continue
		}
		t.number++
		e := t.tip
		e.frame = fmt.Appendf(nil, "id: %d\nevent: like\ndata: %s\n\n", t.number, line)
		e.next = newEvent()
		t.tip = e.next
		close(e.ready)
		count++
	}
	return count
}

func (t *topic) watch(w http.ResponseWriter, r *http.Request) {
	response := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	place := t.place()
	if _, err := io.WriteString(w, "retry: 2000\nid: 0\nevent: ready\ndata: {}\n\n"); err != nil {
		return
	}
	for response.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-place.ready:
		}
		for isReady(place) {
			if _, err := w.Write(place.frame); err != nil {
				return
			}
			place = place.next
		}
	}
}

func isReady(e *event) bool {
	select {
	case <-e.ready:
		return true
	default:
		return false
	}
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: nethttp HOST:PORT")
	}
	video := &topic{tip: newEvent()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", video.watch)
	mux.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		video.publish(body)
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
