# curl comes back only when it is asked to, with the last id that it was given.
url=$1 last=
while :; do
    curl --silent --no-buffer --compressed ${last:+-H "Last-Event-ID: $last"} "$url/v1/videos/v/events" | tee "$2/curl" |
        sed -un 's/^event: ready/ready/p; s/^data: .*"n":\([0-9]*\).*/\1/p'
    new=$(sed -n 's/^id: //p' "$2/curl" | tail -n 1)
    last=${new:-$last} # nothing came while the server was away
    sleep 0.2
done
