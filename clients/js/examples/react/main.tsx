import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { useLiveVideo } from "./useLiveVideo.ts";

function Video({ name }: { name: string }) {
  const [ids, setIds] = useState<string[]>([]);
  const { live, connection } = useLiveVideo(location.origin, name, ({ id }) => setIds((before) => [...before, id]));
  return (
    <main>
      <p id="connection">{connection?.name}</p>
      <p id="ids">{ids.join(" ")}</p>
      <button onClick={() => void live?.like("heart")}>Like</button>
    </main>
  );
}

createRoot(document.querySelector("#root")!).render(
  <StrictMode>
    <Video name="v" />
  </StrictMode>,
);
