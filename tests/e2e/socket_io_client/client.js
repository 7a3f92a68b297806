// One page with the standard client. Tells what happens as JSON lines on stdout; asks there for every auth it needs
// ({"event":"auth"}) and reads the answers, JSON lines, from stdin.
// node client.js ORIGIN PATH [TOPIC]: asks for the topic, if one is named, after every connection; its bytes are told in hex.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [origin, path, topic] = process.argv.slice(2);
const tell = (event, body) => process.stdout.write(JSON.stringify({ event, body }) + "\n");
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const socket = io(`${origin}/queue`, {
  path,
  transports: ["websocket"],
  reconnectionDelay: 100,
  reconnectionDelayMax: 500,
  auth: async (answer) => {
    tell("auth");
    const line = await answers.next();
    answer(JSON.parse(line.value));
  },
});

socket.on("connect", () => tell("connect", { id: socket.id }));
socket.on("connect_error", (error) => tell("connect_error", { message: error.message, data: error.data ?? null }));
socket.on("disconnect", (reason) => tell("disconnect", { reason, active: socket.active }));
socket.on("state", (state) => tell("state", state));
socket.on("place", (place) => tell("place", place));
socket.on("unwatched", (refusal) => tell("unwatched", refusal));
if (topic) {
  socket.on("connect", () => socket.emit("watch", topic));
  socket.on(topic, (bytes) => tell(topic, Buffer.from(bytes).toString("hex")));
}
