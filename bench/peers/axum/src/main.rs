//! axum on one thread: a task for each viewer, and tokio's broadcast channel between them and the publishers.
//!
//! A frame is rendered once, and its bytes are shared. hyper writes what has come meanwhile with one system call.
//! A viewer that falls behind the channel's 65,536 events is disconnected, and would resume.

use std::{cell::RefCell, convert::Infallible, env, error::Error, fmt::Write, net::SocketAddr, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{header, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
    Router,
};
use futures_util::stream;
use tokio::{
    net::TcpSocket,
    sync::{broadcast, Mutex},
};

const RETAINED: usize = 65_536; // events
const BACKLOG: u32 = 4096;
const READY: &[u8] = b"retry: 2000\nid: 0\nevent: ready\ndata: {}\n\n";

struct Topic {
    frames: broadcast::Sender<Bytes>,
    number: Mutex<u64>,
}

async fn watch(State(topic): State<Arc<Topic>>) -> Response {
    let frames = topic.frames.subscribe();
    let body = stream::unfold((Some(Bytes::from_static(READY)), frames), |(ready, mut frames)| async {
        let frame = match ready {
            Some(frame) => frame,
            None => frames.recv().await.ok()?,
        };
        Some((Ok::<_, Infallible>(frame), (None, frames)))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(body)).into_response()
}

/// An event for each line of the body.
async fn publish(State(topic): State<Arc<Topic>>, body: String) -> StatusCode {
    thread_local!(static FRAME: RefCell<String> = const { RefCell::new(String::new()) });
    let mut number = topic.number.lock().await;
    for line in body.lines().filter(|line| !line.is_empty()) {
        *number += 1;
        let frame = FRAME.with_borrow_mut(|frame| {
            frame.clear();
            let _ = write!(frame, "id: {}\nevent: like\ndata: {line}\n\n", *number);
            Bytes::copy_from_slice(frame.as_bytes())
        });
        let _ = topic.frames.send(frame); // fails while nobody watches
    }
    StatusCode::ACCEPTED
}

async fn serve(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let topic = Arc::new(Topic { frames: broadcast::channel(RETAINED).0, number: Mutex::new(0) });
    let app = Router::new()
        .route("/events", get(watch))
        .route("/publish", post(publish))
        .route("/ready", get(|| async { StatusCode::NO_CONTENT }))
        .with_state(topic);
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).ok_or("usage: liveserver-bench-axum HOST:PORT")?.parse()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(address))
}
