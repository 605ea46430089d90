//! A request that is repeated under its `Idempotency-Key`.

use std::sync::{Mutex, mpsc};

use crate::support::{Connection, TestGateway, Upstream, servers, until};

#[test]
fn a_client_that_leaves_in_the_middle_finds_the_answer_when_it_asks_again() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let upstream = Upstream::start(move |seen, conn| match seen.rpc().as_str() {
        "server/discover" => {
            // Until the test lets it.
            let _opened = gate.lock().expect("not poisoned").recv();
            conn.result(seen, servers::discovery());
        }
        "tools/list" => conn.result(seen, servers::tools(&["echo"])),
        _ => conn.error(404, seen, -32601, "Method not found"),
    });
    let setup = TestGateway::setup().set("server.workers", 1).set("limits.admin_requests_per_minute", 100_000);
    let gateway = setup.start();
    let admin = gateway.admin();
    admin.server("slow", &upstream.url());
    let request = admin.request("POST", "/mcp-servers/slow/test", None).header("idempotency-key", "left");
    let mut connection = Connection::to(gateway.address);
    connection.write(&request.bytes(gateway.address));
    upstream.until_seen("the server is asked", |seen| !seen.is_empty());
    let early = request.send(gateway.address).expect(409);
    assert!(early.text().contains("has no answer yet"), "{}", early.text());

    drop(connection);
    // Its only worker knows that the client left when it has answered others who came later.
    for _ in 0..3 {
        admin.get("/whoami").expect(200);
    }
    drop(open);
    until("what was begun is finished", || request.send(gateway.address).status == 200);
    let again = request.send(gateway.address).expect(200);
    assert_eq!((again.header("idempotency-replayed"), &again.json()["ok"]), (Some("true"), &true.into()));
}
