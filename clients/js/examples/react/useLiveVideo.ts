import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { LiveVideo, type ConnectionState, type LiveEvent, type Options } from "@liveserver/client";

export interface LiveVideoHook {
  /** Null until the effect has run: on the server, and in the first render. */
  live: LiveVideo | null;
  connection: ConnectionState | null;
}

/**
 * Watch `video` while the component is mounted. `onEvent` is called once for each event, also in StrictMode, which
 * mounts twice: the first connection never begins.
 */
export function useLiveVideo(
  urls: string | string[],
  video: string,
  onEvent?: (event: LiveEvent) => void,
  options?: Options,
): LiveVideoHook {
  const [live, setLive] = useState<LiveVideo | null>(null);
  const latest = useRef({ onEvent, options });
  useEffect(() => {
    latest.current = { onEvent, options };
  });
  const addresses = [urls].flat().join(" ");
  useEffect(() => {
    const made = new LiveVideo(addresses.split(" "), video, latest.current.options);
    made.addEventListener("*", ({ detail }) => latest.current.onEvent?.(detail));
    setLive(made);
    return () => {
      made.close();
      setLive(null);
    };
  }, [addresses, video]);
  const connection = useSyncExternalStore(
    (changed) => {
      live?.addEventListener("connection", changed);
      return () => live?.removeEventListener("connection", changed);
    },
    () => live?.connection ?? null,
    () => null,
  );
  return { live, connection };
}
