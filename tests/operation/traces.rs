//! Traces of calls, as a collector gets them: OTLP over HTTP, in protobuf. The spans hang below the client's own, and
//! the server behind is told ours.

use serde_json::json;

use crate::support::{Place, Seen, TestGateway, Upstream, place_with, servers, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// One field of a protobuf message: its number, and its bytes if it is a message, a text or bytes.
struct Field<'a>(u64, &'a [u8]);

/// The fields of a message. Numbers that are not length-delimited are passed over; nothing here asks for them.
fn fields(mut rest: &[u8]) -> Vec<Field<'_>> {
    fn varint(rest: &mut &[u8]) -> u64 {
        let mut value = 0;
        for at in 0.. {
            let byte = rest[0];
            *rest = &rest[1..];
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest);
        let length = match key & 7 {
            0 => {
                varint(&mut rest);
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)).unwrap(),
            5 => 4,
            other => panic!("no protobuf: wire type {other}"),
        };
        let (value, after) = rest.split_at(length);
        rest = after;
        if key & 7 == 2 {
            found.push(Field(key >> 3, value));
        }
    }
    found
}

/// The messages at a path of field numbers.
fn at<'a>(message: &'a [u8], path: &[u64]) -> Vec<&'a [u8]> {
    path.iter().fold(vec![message], |messages, number| {
        messages.into_iter().flat_map(fields).filter(|field| field.0 == *number).map(|field| field.1).collect()
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    /// Attribute names with their texts (empty for what is no text).
    attributes: Vec<(String, String)>,
}

impl Span {
    fn says(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// The spans of an export (opentelemetry-proto: trace/v1).
fn spans(export: &[u8]) -> Vec<Span> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    // resource_spans, scope_spans, spans.
    at(export, &[1, 2, 2])
        .into_iter()
        .map(|span| {
            let one = |number| at(span, &[number]).first().copied().unwrap_or_default();
            let attributes = at(span, &[9]).into_iter().map(|pair| {
                let value = at(pair, &[2, 1]);
                (text(at(pair, &[1])[0]), text(value.first().copied().unwrap_or_default()))
            });
            Span {
                trace: hex(one(1)),
                id: hex(one(2)),
                parent: hex(one(4)),
                name: text(one(5)),
                attributes: attributes.collect(),
            }
        })
        .collect()
}

/// A gateway that exports to a collector, and one server.
fn traced(ratio: f64) -> (Place, Upstream, Upstream) {
    let collector = Upstream::start(|_, conn| conn.reply(200, &[("content-type", "application/x-protobuf")], ""));
    let upstream =
        servers::modern(&["echo"], |seen, conn| match seen.json()["params"]["arguments"]["fails"].is_null() {
            true => conn.says(seen, "done"),
            false => conn.error(200, seen, -32050, "no"),
        });
    let setup = TestGateway::setup()
        .set("telemetry.otlp_endpoint", format!("http://{}", collector.address))
        .set("telemetry.service_name", "gate-of-the-test")
        .set("telemetry.sample_ratio", ratio);
    let place = place_with(setup, &[("toy", &upstream)]);
    place.editor.tools();
    (place, upstream, collector)
}

/// All spans that came, once there are that many.
fn exported(collector: &Upstream, at_least: usize) -> Vec<Span> {
    let all = || collector.seen().iter().flat_map(|seen| spans(&seen.body)).collect::<Vec<Span>>();
    until("the spans are exported", || all().len() >= at_least);
    all()
}

/// Trace, span and flags of a `traceparent`.
fn told(call: &Seen) -> (String, String, String) {
    let header = call.header("traceparent").expect("the server is told").to_owned();
    let parts: Vec<&str> = header.split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"), "{header}");
    assert_eq!(call.json()["params"]["_meta"]["traceparent"], header, "the same in the message");
    (parts[1].into(), parts[2].into(), parts[3].into())
}

#[test]
fn a_calls_spans_hang_below_the_clients_and_the_server_is_told_ours() {
    let (place, upstream, collector) = traced(0.0);
    let call = place.editor.calling("toy__echo", json!({})).header("traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    place.editor.send(&call).expect(200).result();
    let (trace, span, flags) = told(&upstream.last_call());
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"), "the client's decision to sample is followed");

    let spans = exported(&collector, 2);
    assert_eq!(spans.len(), 2, "{spans:?}");
    let server = spans.iter().find(|one| one.parent == PARENT).expect("a span below the client's");
    let client = spans.iter().find(|one| one.parent == server.id).expect("a span below that");
    assert!(spans.iter().all(|one| one.trace == TRACE));
    assert_eq!(client.id, span, "the server behind goes on below this span");
    assert_eq!((server.name.as_str(), client.name.as_str()), ("tools/call toy__echo", "tools/call echo"));
    assert_eq!(server.says("aerostack.workspace"), Some("eng"));
    assert_eq!(client.says("aerostack.server"), Some("toy"));
    assert_eq!(server.says("error.type"), None);

    let export = &collector.seen()[0];
    assert_eq!((export.method.as_str(), export.path.as_str()), ("POST", "/v1/traces"));
    assert_eq!(export.header("content-type"), Some("application/x-protobuf"));
    let everything = collector.transcript();
    assert!(everything.contains("gate-of-the-test"), "the service is named");
    assert!(!everything.contains("mwt_") && !everything.contains("Alice"), "no credential, no person");
}

#[test]
fn without_a_trace_of_the_client_one_begins_here_and_failures_are_marked() {
    let (place, upstream, collector) = traced(1.0);
    place.editor.call("toy__echo", json!({ "fails": true })).expect(200).code();
    let (trace, ..) = told(&upstream.last_call());
    let spans = exported(&collector, 2);
    assert!(spans.iter().all(|one| one.trace == trace && one.says("error.type") == Some("-32050")), "{spans:?}");
    assert_eq!(spans.iter().filter(|one| one.parent.is_empty()).count(), 1, "one root");
}

#[test]
fn what_is_not_sampled_is_not_exported_and_the_last_spans_are_not_lost_at_a_stop() {
    let (mut place, upstream, collector) = traced(1.0);
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    place.editor.send(&place.editor.calling("toy__echo", json!({})).header("traceparent", &unsampled)).result();
    assert_eq!(told(&upstream.last_call()).2, "00");
    place.editor.call("toy__echo", json!({})).result();
    place.gateway.signal("TERM");
    assert_eq!(place.gateway.ended(std::time::Duration::from_secs(15)).code(), Some(0));
    let spans = exported(&collector, 2);
    assert!(spans.len() == 2 && spans.iter().all(|one| one.trace != TRACE), "{spans:?}");
}
