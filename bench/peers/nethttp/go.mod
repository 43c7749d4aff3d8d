module liveserver.example/bench/nethttp

go 1.22
