// Mercure's hub as its library's example starts it, without the Caddy around it that its own binaries have.
//
// In memory and without history, which is its fastest transport; viewers are anonymous, publishers have a token.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/dunglas/mercure"
)

const cacheSize = 100_000 // of subscriber lists; the default of its Caddy module

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: liveserver-bench-mercure HOST:PORT KEY")
	}
	key := []byte(os.Args[2])
	hub, err := mercure.NewHub(
		context.Background(),
		mercure.WithTransport(mercure.NewLocalTransport(mercure.NewSubscriberList(cacheSize))),
		mercure.WithPublisherJWT(key, "HS256"),
		mercure.WithSubscriberJWT(key, "HS256"),
		mercure.WithAnonymous(),
		mercure.WithWriteTimeout(10*time.Minute),
	)
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/.well-known/mercure", hub)
	http.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	server := &http.Server{Addr: os.Args[1], ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
