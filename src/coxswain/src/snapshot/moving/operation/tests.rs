//! Moves that are asked for while another is under way, or is being taken back.

use http_body_util::Full;
use store::{Engine, Options, fjall, memory};
use tempfile::TempDir;

use super::*;
use crate::snapshot::moving::departing::settle;
use crate::snapshot::moving::stand_in::{appears, join, open, put, told};

/// A server over an engine in memory that stands for TiKV, with something in it.
async fn server(prefix: &str, engine: &Engine, folder: &TempDir) -> MoveOperation {
    appears(prefix, engine);
    let store = join(engine).await.unwrap();
    for number in 0..20 {
        put(&store, &format!("before-{number}")).await.unwrap();
    }
    MoveOperation {
        store,
        data: folder.path().to_owned(),
        host: "server-1".to_owned(),
        place: told(prefix),
        restart: CancellationToken::new(),
        open,
        turn: Arc::default(),
    }
}

fn order() -> Bytes {
    serde_json::to_vec(&Order::Embedded(None)).unwrap().into()
}

fn ask(server: &MoveOperation, body: Body) -> Response<Body> {
    server.answer(Request::post(PATH).body(body).unwrap())
}

/// Asks for a move at once.
fn order_now(server: &MoveOperation) -> Response<Body> {
    ask(server, Full::new(order()).map_err(|never| match never {}).boxed_unsync())
}

/// Asks for a move that begins when the order is sent.
fn order_later(server: &MoveOperation) -> (Response<Body>, mpsc::Sender<Result<Bytes, BoxError>>) {
    let (pieces, received) = mpsc::channel(1);
    (ask(server, Pieces(received).boxed_unsync()), pieces)
}

async fn said(answer: Response<Body>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// The state is in the directory, with everything.
async fn check_arrived(server: &MoveOperation) {
    assert!(server.restart.is_cancelled());
    assert!(settle(&server.data, open).await.unwrap());
    assert!(!place::follow(&server.data, server.place.clone()).unwrap().is_shared());
    let engine = fjall::open(server.data.join("store")).unwrap();
    let copy = Store::open(engine, Options::default()).await.unwrap();
    assert_eq!(put(&copy, "after").await.unwrap(), 22);
    copy.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_moves_at_once_one_is_refused_and_the_other_arrives() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), memory::new());
    let server = server("two/", &engine, &folder).await;
    let (first, pieces) = order_later(&server);
    assert_eq!(order_now(&server).status(), StatusCode::CONFLICT);
    pieces.send(Ok(order())).await.unwrap();
    drop(pieces);
    let first = said(first).await;
    assert!(first.lines().last().unwrap().starts_with(MOVED), "{first}");
    assert_eq!(order_now(&server).status(), StatusCode::CONFLICT, "it is about to begin anew");
    check_arrived(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_was_given_up_leaves_nothing_and_the_next_one_arrives() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), memory::new());
    let server = server("again/", &engine, &folder).await;
    for _ in 0..5 {
        let (given_up, pieces) = order_later(&server);
        // Whoever asked goes before it begins to copy.
        drop(given_up);
        pieces.send(Ok(order())).await.unwrap();
        drop(pieces);
        drop(server.turn.lock().await);
        assert_eq!(std::fs::read_dir(&server.data).unwrap().count(), 0, "a copy or an intent is left");
        assert!(!server.restart.is_cancelled());
    }
    let next = said(order_now(&server)).await;
    assert!(next.lines().last().unwrap().starts_with(MOVED), "{next}");
    check_arrived(&server).await;
}
