use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::{
    domain::clock,
    protocol::revision::Revision,
    upstream::{
        Wire,
        ask::{Message, read_message},
    },
};

fn reply(result: &str) -> Reply {
    let body = format!(r#"{{"jsonrpc":"2.0","id":"a","result":{result}}}"#);
    match read_message(Bytes::from(body)).unwrap() {
        Message::Reply(_, reply) => reply,
        _ => panic!("no reply"),
    }
}

fn tool(name: &str) -> String {
    format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}},"x":1e-400}}"#)
}

fn about(capabilities: serde_json::Value) -> Arc<Connected> {
    Arc::new(Connected {
        wire: Wire::Modern { revision: Revision::MODERN },
        server_info: None,
        capabilities,
        instructions: None,
        at: clock::now(),
    })
}

async fn list(config: &UpstreamConfig, page: impl AsyncFn(&str) -> String) -> List {
    pages(Kind::Tools, true, config, async |members: &str| Ok(reply(&page(members).await))).await.unwrap()
}

fn names(list: &List) -> Vec<&str> {
    list.items.iter().map(|item| &*item.name).collect()
}

#[actix_rt::test]
async fn all_pages_are_fetched_and_an_empty_cursor_is_one() {
    let config = UpstreamConfig::default();
    let found = list(&config, async |members: &str| match members {
        "" => format!(r#"{{"tools":[{}],"nextCursor":""}}"#, tool("a")),
        r#""cursor":"""# => format!(r#"{{"tools":[{}],"nextCursor":"\u00e9"}}"#, tool("b")),
        r#""cursor":"é""# => format!(r#"{{"tools":[{}],"nextCursor":null}}"#, tool("c")),
        other => panic!("{other}"),
    })
    .await;
    assert_eq!(names(&found), ["a", "b", "c"]);
    assert_eq!(found.items[0].raw.get(), tool("a"));
}

#[actix_rt::test]
async fn pages_that_repeat_or_never_end_are_left() {
    let config = UpstreamConfig { list_pages: 3, tools: 10, ..UpstreamConfig::default() };
    let repeating = list(&config, async |_: &str| r#"{"tools":[],"nextCursor":"x"}"#.to_owned()).await;
    assert!(repeating.dropped[0].reason.contains("repeat"));
    let count = std::cell::Cell::new(0);
    let endless = list(&config, async |_: &str| {
        count.set(count.get() + 1);
        format!(r#"{{"tools":[],"nextCursor":"{}"}}"#, count.get())
    })
    .await;
    assert_eq!(count.get(), 3);
    assert!(endless.dropped[0].reason.contains("list_pages"));
    let many: Vec<String> = (0..20).map(|i| tool(&i.to_string())).collect();
    let many = format!(r#"{{"tools":[{}]}}"#, many.join(","));
    let cut = list(&config, async |_: &str| many.clone()).await;
    assert_eq!(cut.items.len(), 10);
}

#[actix_rt::test]
async fn a_bad_tool_costs_itself_only() {
    let huge = format!(r#"{{"name":"huge","inputSchema":{{}},"description":"{}"}}"#, "x".repeat(ITEM_BYTES));
    let page = format!(
        r#"{{"tools":[{},7,{{"name":"noschema"}},{{"name":"bad","inputSchema":[]}},{{"inputSchema":{{}}}},{huge},
            {{"name":"h","inputSchema":{{"type":"object","properties":{{"a":{{"type":"object","x-mcp-header":"A"}}}}}}}},{},{}]}}"#,
        tool("good"),
        tool("good"),
        tool("last"),
    );
    let found = list(&UpstreamConfig::default(), async |_: &str| page.clone()).await;
    assert_eq!(names(&found), ["good", "last"]);
    let dropped: Vec<&str> = found.dropped.iter().map(|dropped| dropped.name.as_str()).collect();
    assert_eq!(dropped, ["", "noschema", "bad", "", "huge", "h", "good"]);
}

#[actix_rt::test]
async fn a_result_of_another_shape_is_a_protocol_failure() {
    for result in [r#"{"tools":{}}"#, "{}", r#"{"tools":[],"nextCursor":7}"#] {
        let ask = async |_: &str| Ok(reply(result));
        let outcome = pages(Kind::Tools, true, &UpstreamConfig::default(), ask).await;
        assert!(matches!(outcome, Err(UpstreamError::Protocol(_))), "{result}");
    }
}

/// A list that fails, and how.
type Failing = (Kind, fn() -> UpstreamError);

/// What a server of every kind answers, except for those that fail.
fn answer(kind: Kind, failing: &[Failing]) -> Result<Reply, UpstreamError> {
    if let Some((_, failure)) = failing.iter().find(|(failing, _)| *failing == kind) {
        return Err(failure());
    }
    let item = match kind {
        Kind::Tools => tool("t"),
        Kind::Prompts => r#"{"name":"p"}"#.into(),
        Kind::Resources => r#"{"uri":"file:///r","name":"r"},{"name":"no uri"}"#.into(),
        Kind::Templates => r#"{"uriTemplate":"file:///{path}"}"#.into(),
    };
    Ok(reply(&format!(r#"{{"{}":[{item}]}}"#, kind.member())))
}

async fn fetched(capabilities: serde_json::Value, failing: &[Failing]) -> Fetched {
    let offer = Offer::empty(about(capabilities));
    let config = UpstreamConfig::default();
    fetch(offer, Kinds::ALL, &config, async |kind: Kind, _: &str| answer(kind, failing)).await.unwrap()
}

fn counts(offer: &Offer) -> [usize; 4] {
    Kind::ALL.map(|kind| offer.list(kind).items.len())
}

#[actix_rt::test]
async fn every_declared_list_is_fetched_and_no_other() {
    let all = json!({ "tools": {}, "prompts": {}, "resources": {} });
    let found = fetched(all, &[]).await;
    assert_eq!(counts(&found.offer), [1, 1, 1, 1]);
    assert_eq!(
        found.offer.dropped(),
        [Dropped {
            name: String::new(),
            reason: format!("resource: its URI is missing, longer than {URI_BYTES} bytes, or has control characters"),
        }]
    );
    assert_eq!(counts(&fetched(json!({ "prompts": {} }), &[]).await.offer), [1, 1, 0, 0]);
    let refused: fn() -> UpstreamError = || UpstreamError::Protocol("no".into());
    assert_eq!(counts(&fetched(json!({ "prompts": {} }), &[(Kind::Tools, refused)]).await.offer), [0, 1, 0, 0]);
}

#[actix_rt::test]
async fn a_list_that_fails_keeps_its_last_good_copy_and_hides_no_other() {
    let all = about(json!({ "tools": {}, "prompts": {}, "resources": {} }));
    let config = UpstreamConfig::default();
    let cut: fn() -> UpstreamError = || UpstreamError::Cut;
    let failing = [(Kind::Prompts, cut)];
    let good = fetch(Offer::empty(all), Kinds::ALL, &config, async |kind: Kind, _: &str| answer(kind, &[])).await;
    let good = good.unwrap().offer;
    let later = fetch(good.clone(), Kinds::ALL, &config, async |kind: Kind, _: &str| answer(kind, &failing)).await;
    let later = later.unwrap();
    assert!(matches!(later.failure, Some(UpstreamError::Cut)));
    assert!(later.offer.says_the_same_as(&good));
    let failing = [(Kind::Tools, cut)];
    let whole = fetch(good, Kinds::ALL, &config, async |kind: Kind, _: &str| answer(kind, &failing)).await;
    assert!(matches!(whole, Err(UpstreamError::Cut)));
}

#[actix_rt::test]
async fn only_what_changed_is_fetched_again() {
    let offer = Offer::empty(about(json!({ "tools": {}, "prompts": {}, "resources": {} })));
    let config = UpstreamConfig::default();
    let asked = std::cell::RefCell::new(Vec::new());
    let ask = async |kind: Kind, _: &str| {
        asked.borrow_mut().push(kind);
        answer(kind, &[])
    };
    let found = fetch(offer, Kinds::NONE.with(Kind::Prompts), &config, ask).await.unwrap();
    assert_eq!(*asked.borrow(), [Kind::Prompts]);
    assert_eq!(counts(&found.offer), [0, 1, 0, 0]);
}
