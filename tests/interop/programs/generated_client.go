// With the client that oapi-codegen generates: watch a video, publish once it is ready, and receive that.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	client, err := NewClient(os.Args[1])
	must(err)
	stream, err := client.Watch(ctx, "go", &WatchParams{})
	must(err)
	defer stream.Body.Close()
	lines := bufio.NewScanner(stream.Body)
	for lines.Scan() {
		line := lines.Text()
		if line == "event: ready" {
			var body PublishJSONRequestBody
			id := "from-go"
			must(body.FromPublication(Publication{Type: "like", Id: &id}))
			answer, err := client.Publish(ctx, "go", body)
			must(err)
			answer.Body.Close()
			fmt.Println(answer.StatusCode)
		} else if strings.HasPrefix(line, "data:") && strings.Contains(line, `"id":"from-go"`) {
			fmt.Println(line)
			return
		}
	}
	must(fmt.Errorf("the stream ended: %v", lines.Err()))
}
