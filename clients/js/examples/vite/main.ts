import { LiveError, LiveVideo } from "@liveserver/client";

const live = new LiveVideo(location.origin, "v", { user: "ada", share: false });
const show = (id: string, text: string | number) => {
  document.querySelector(`#${id}`)!.textContent = String(text);
};
const seen: string[] = [];
live.addEventListener("like", ({ detail }) => show("last", detail.data.reaction));
live.addEventListener("comment", ({ detail }) => show("last", detail.data.text.length));
live.addEventListener("viewers", ({ detail }) => show("viewers", detail.total));
live.addEventListener("*", ({ detail }) => show("ids", (seen.push(detail.id), seen.join(" "))));
live.addEventListener("connection", ({ detail }) => show("connection", detail.name));
document.querySelector("#like")!.addEventListener("click", async () => {
  try {
    const { total } = await live.like("heart");
    show("total", total);
  } catch (error) {
    if (error instanceof LiveError) show("total", error.message);
  }
});
