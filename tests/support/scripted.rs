//! The scripted server behind each transport.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{
    Conn, Seen, Upstream, programs,
    script::{Script, Way},
};

/// The answer to one POST: an object, or events once something has to be said before it.
struct Post<'a> {
    conn: &'a mut Conn,
    streams: bool,
}

impl Way for Post<'_> {
    fn send(&mut self, message: &Value) {
        if !std::mem::replace(&mut self.streams, true) {
            self.conn.begin_events();
        }
        self.conn.event(message);
    }
    fn until_gone(&mut self) -> bool {
        self.conn.until_gone();
        true
    }
}

/// A server over Streamable HTTP.
pub fn streamable(script: Arc<Script>) -> Upstream {
    Upstream::start(move |seen, conn| {
        if seen.method != "POST" {
            return other_than_post(&script, seen, conn);
        }
        let message = seen.json();
        let opens = message["method"] == "initialize";
        if !script.is_modern() && !opens && seen.header("mcp-session-id").is_none() {
            return conn.error(400, seen, -32000, "no session");
        }
        // Where leaving does not cancel, a call that hangs must not wait for it.
        let mut way = Post { conn, streams: false };
        let answer = if script.is_modern() {
            script.take(&message, &mut way)
        } else {
            script.take(&message, &mut Stays(&mut way))
        };
        let (Some(answer), streams) = (answer, way.streams) else { return conn.reply(202, &[], "") };
        if streams {
            conn.event(answer);
            return conn.end_events();
        }
        let status = match answer["error"]["code"].as_i64() {
            Some(-32601) if script.is_modern() => 404,
            Some(-32021) => 400,
            _ => 200,
        };
        let session = [("content-type", "application/json"), ("mcp-session-id", "a-session")];
        let headers = if opens && !script.is_modern() { &session[..] } else { &session[..1] };
        conn.reply(status, headers, answer.to_string());
    })
}

/// A way on which leaving means nothing.
struct Stays<'a, W: Way>(&'a mut W);

impl<W: Way> Way for Stays<'_, W> {
    fn send(&mut self, message: &Value) {
        self.0.send(message);
    }
    fn until_gone(&mut self) -> bool {
        false
    }
}

fn other_than_post(script: &Arc<Script>, seen: &Seen, conn: &mut Conn) {
    match seen.method.as_str() {
        "GET" if !script.is_modern() => {
            conn.begin_events();
            let mut stream = conn.again();
            script.listen(Box::new(move |message| stream.event(message)));
            conn.until_gone();
        }
        "DELETE" if !script.is_modern() => conn.reply(204, &[], ""),
        _ => conn.reply(405, &[("allow", "POST")], ""),
    }
}

/// A stream that several threads write to.
#[derive(Clone)]
struct Shared(Arc<Mutex<Conn>>);

impl Way for Shared {
    fn send(&mut self, message: &Value) {
        self.0.lock().expect("not poisoned").event(message);
    }
    fn until_gone(&mut self) -> bool {
        false
    }
}

/// A server over HTTP+SSE: each client has a stream, and what it posts is answered there.
pub fn http_sse(script: Arc<Script>) -> Upstream {
    let streams: Mutex<Vec<Option<Shared>>> = Mutex::default();
    Upstream::start(move |seen, conn| {
        if seen.method == "GET" {
            conn.begin_events();
            let stream = Shared(Arc::new(Mutex::new(conn.again())));
            let number = {
                let mut streams = streams.lock().expect("not poisoned");
                streams.push(Some(stream.clone()));
                streams.len() - 1
            };
            let announcements = stream.clone();
            script.listen(Box::new(move |message| announcements.0.lock().expect("not poisoned").event(message)));
            conn.event_named("endpoint", format!("/messages?session={number}"));
            conn.until_gone();
            streams.lock().expect("not poisoned")[number] = None;
            return conn.note("gone");
        }
        let number = seen.path.split_once("session=").and_then(|(_, number)| number.parse::<usize>().ok());
        let stream = number.and_then(|number| streams.lock().expect("not poisoned").get(number).cloned().flatten());
        let Some(mut stream) = stream else { return conn.reply(404, &[], "") };
        conn.reply(202, &[], "Accepted");
        let (script, message) = (script.clone(), seen.json());
        std::thread::spawn(move || {
            if let Some(answer) = script.take(&message, &mut stream) {
                stream.send(&answer);
            }
        });
    })
}

/// The definition of a program that is one.
pub fn stdio(revision: &str, name: &str) -> String {
    let program = programs::example("stdio_script").display().to_string();
    format!("command = {program:?}\nargs = [{revision:?}, {name:?}]\n")
}
