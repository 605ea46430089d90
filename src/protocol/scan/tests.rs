//! The scanner accepts what `serde_json` accepts, minus what we refuse on purpose, and finds the envelope's parts.

use std::{collections::HashSet, fmt};

use proptest::prelude::*;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::*;

fn scanned(body: &[u8]) -> Result<Document, ScanError> {
    scan(body, ScanLimits::default())
}

fn envelope(body: &str) -> Box<Envelope> {
    match scanned(body.as_bytes()) {
        Ok(Document::Object(envelope)) => envelope,
        other => panic!("{body}: {other:?}"),
    }
}

/// Reads any JSON and fails on a name that occurs twice in one object.
struct NoDuplicates;
impl<'de> Deserialize<'de> for NoDuplicates {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(NoDuplicates)
    }
}
impl<'de> Visitor<'de> for NoDuplicates {
    type Value = NoDuplicates;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<NoDuplicates>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<NoDuplicates>()?;
            if !seen.insert(key) {
                return Err(de::Error::custom("duplicate"));
            }
        }
        Ok(self)
    }
}

/// Compares the scanner's verdict with `serde_json`'s.
fn same_verdict(body: &[u8]) -> Result<(), TestCaseError> {
    let oracle = serde_json::from_slice::<Value>(body);
    if oracle.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range")) {
        return Ok(());
    }
    match scanned(body) {
        Ok(_) => {
            prop_assert!(oracle.is_ok(), "accepted {:?}", String::from_utf8_lossy(body));
            prop_assert!(serde_json::from_slice::<NoDuplicates>(body).is_ok());
        }
        Err(ScanError::DuplicateKey) if oracle.is_ok() => {
            prop_assert!(serde_json::from_slice::<NoDuplicates>(body).is_err());
        }
        Err(error) if error.is_syntax() => {
            prop_assert!(oracle.is_err(), "refused {:?}: {error}", String::from_utf8_lossy(body));
        }
        // Refused on purpose, perhaps before a syntax error further on.
        Err(_) => {}
    }
    Ok(())
}

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        any::<String>().prop_map(Value::from),
        "[a-z\"\\\\/\u{e9}\u{1F600}\n]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{0,6}|.{0,10}", inner, 0..24)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Pieces out of which almost-JSON is put together.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"true",
        b"false",
        b"null",
        b"nul",
        b" ",
        b"\n",
        b"\t",
        b"\r",
        b"\x0c",
        b"0",
        b"-",
        b"-0",
        b"01",
        b"1.5",
        b"1.",
        b".5",
        b"1e5",
        b"1E+",
        b"1e-400",
        b"\"a\"",
        b"\"\"",
        b"\"b\\n\"",
        b"\"\\u00e9\"",
        b"\"\\ud83d\\ude00\"",
        b"\"\\ud83d\"",
        b"\"\\ude00\"",
        b"\"\\ud83dx\"",
        b"\"\\ud83d\\u0041\"",
        b"\"\\x\"",
        b"\"\\u12\"",
        b"\"\x01\"",
        b"\"\x7f\"",
        "\"\u{e9}\"".as_bytes(),
        b"\"\xff\"",
        b"\xff",
        b"\xEF\xBB\xBF",
        b"\"a\":1",
        b"\"\\u0061\":2",
        b"{\"a\":[1,{}]}",
        b"[[],{}]",
        b"//",
        b"'a'",
        b"NaN",
        b"\0",
    ];
    prop::collection::vec(prop::sample::select(words), 0..9).prop_map(|words| words.concat())
}

#[test]
fn a_name_is_not_taken_for_the_way_another_is_written() {
    // The first key is one quotation mark, the second a backslash and a quotation mark.
    let body = br#"{"params":{"\"":1,"\\\"":2}}"#;
    let Ok(Document::Object(found)) = scanned(body) else { panic!("no object") };
    let value = |name: &str| &body[member(&found.params_members, body, name).unwrap()];
    assert_eq!((value("\""), value("\\\"")), (&b"1"[..], &b"2"[..]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn soup_gets_the_same_verdict(body in pieces()) {
        same_verdict(&body)?;
    }

    #[test]
    fn damaged_json_gets_the_same_verdict(value in any_json(), edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 0..4), pretty in any::<bool>()) {
        let mut body = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        for (at, byte, what) in edits {
            let at = at.index(body.len() + 1);
            match what {
                0 => body.insert(at, byte),
                1 if at < body.len() => { body.remove(at); }
                _ if at < body.len() => body[at] = b"\"\\{}[]:,0e.-u "[usize::from(byte) % 14],
                _ => {}
            }
        }
        same_verdict(&body)?;
    }

    #[test]
    fn envelope_parts_are_where_they_are_said_to_be(params in prop::collection::btree_map("[a-z]{1,9}|.{1,6}", any_json(), 0..12), meta in prop::collection::btree_map(".{0,9}", any_json(), 0..12), id in any_json(), pretty in any::<bool>()) {
        let mut params: serde_json::Map<String, Value> = params.into_iter().collect();
        params.insert("_meta".into(), Value::Object(meta.clone().into_iter().collect()));
        let message = serde_json::json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params, "other": 1});
        let body = if pretty { serde_json::to_vec_pretty(&message) } else { serde_json::to_vec(&message) }.unwrap();
        let found = match scanned(&body) {
            Ok(Document::Object(found)) => found,
            Err(ScanError::LookAlike(_)) => return Ok(()),
            other => panic!("{other:?}"),
        };
        let value = |range: Range<usize>| serde_json::from_slice::<Value>(&body[range]).unwrap();
        prop_assert_eq!(value(found.id.clone().unwrap()), id);
        prop_assert_eq!(found.method_str(&body).unwrap(), "tools/call");
        prop_assert_eq!(value(found.params.clone().unwrap()), Value::Object(params.clone()));
        prop_assert!(found.result.is_none() && found.error.is_none());
        prop_assert_eq!(&body[found.span.clone()], &body[..]);
        prop_assert_eq!(found.params_members.len(), params.len());
        for (key, want) in &params {
            prop_assert_eq!(&value(member(&found.params_members, &body, key).unwrap()), want);
        }
        prop_assert_eq!(found.meta_members.len(), meta.len());
        for (key, want) in &meta {
            prop_assert_eq!(&value(member(&found.meta_members, &body, key).unwrap()), want);
        }
        let again = object_members(&body, found.params.clone().unwrap());
        prop_assert_eq!(again, found.params_members);
    }

    #[test]
    fn strings_read_as_serde_reads_them(text in any::<String>(), raw in "(\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-fA-F]{2}|\\\\ud83d\\\\ude0[0-9a-f]|[a-z\u{e9}]){0,20}") {
        let written = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(string_text(written.as_bytes()).unwrap(), text);
        let quoted = format!("\"{raw}\"");
        prop_assert_eq!(string_text(quoted.as_bytes()).unwrap().into_owned(), serde_json::from_str::<String>(&quoted).unwrap());
    }
}

#[test]
fn bodies_that_are_refused_on_purpose() {
    for (body, want) in [
        (&b"\xEF\xBB\xBF{}"[..], ScanError::ByteOrderMark),
        (b"", ScanError::Syntax(0)),
        (b"{} {}", ScanError::Trailing(3)),
        (b"{\"a\":\"\xff\"}", ScanError::Utf8(6)),
        (b"{\"a\":1,\"a\":2}", ScanError::DuplicateKey),
        (br#"{"a":{"b":[{"c":1,"\u0063":2}]}}"#, ScanError::DuplicateKey),
        (br#"{"params":{"name":"safe","name":"danger"}}"#, ScanError::DuplicateKey),
        (br#"{"method":"tools/list","Method":"tools/call"}"#, ScanError::LookAlike(24)),
        ("{\"param\u{17f}\":{}}".as_bytes(), ScanError::LookAlike(2)),
        ("{\"\u{ff4d}ethod\":1}".as_bytes(), ScanError::LookAlike(2)),
        ("{\"met\u{200b}hod\":1}".as_bytes(), ScanError::LookAlike(2)),
        (br#"{"\u004dethod":1}"#, ScanError::LookAlike(2)),
        (br#"{"params":{"Name":"x"}}"#, ScanError::LookAlike(12)),
        (br#"{"params":{"ARGUMENTS":{}}}"#, ScanError::LookAlike(12)),
        (br#"{"params":{"_META":{}}}"#, ScanError::LookAlike(12)),
    ] {
        assert_eq!(scanned(body), Err(want), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn known_names_are_free_where_they_mean_nothing() {
    envelope(r#"{"params":{"arguments":{"Name":1,"NAME":2,"Method":3},"Other":1,"x":{"_Meta":1}},"x":{"ID":1}}"#);
    envelope(r#"{"result":{"Name":1,"_META":2}}"#);
}

#[test]
fn escaped_known_names_are_known() {
    let body = r#"{"meth\u006fd":"x","p\u0061rams":{"_met\u0061":{"a\u0062":5},"n\u0061me":"t"}}"#;
    let found = envelope(body);
    assert_eq!(found.method_str(body.as_bytes()).unwrap(), "x");
    assert_eq!(found.param_str(body.as_bytes(), "name").unwrap(), "t");
    assert_eq!(found.meta(body.as_bytes(), "ab").unwrap(), b"5");
}

#[test]
fn numbers_are_not_looked_into() {
    envelope(r#"{"n":18446744073709551617,"f":1.10,"big":1e400,"small":-0.0e-400}"#);
}

#[test]
fn depth_is_limited_exactly() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(scanned(nested(64).as_bytes()).is_ok());
    assert_eq!(scanned(nested(65).as_bytes()), Err(ScanError::TooDeep));
    assert_eq!(scanned("[".repeat(100_000).as_bytes()), Err(ScanError::TooDeep));
    assert_eq!(scanned("{\"a\":".repeat(65).as_bytes()), Err(ScanError::TooDeep));
}

#[test]
fn values_are_counted() {
    let list = |n: usize| format!("[{}\"\"]", "\"\",".repeat(n - 1));
    assert!(scanned(list(99_999).as_bytes()).is_ok());
    assert_eq!(scanned(list(100_000).as_bytes()), Err(ScanError::TooManyValues));
}

#[test]
fn long_names_are_refused_by_their_unescaped_length() {
    let object = |key: &str| format!("{{\"{key}\":1}}");
    assert!(scanned(object(&"k".repeat(1024)).as_bytes()).is_ok());
    assert!(scanned(object(&"\\u006b".repeat(1024)).as_bytes()).is_ok());
    assert_eq!(scanned(object(&"k".repeat(1025)).as_bytes()), Err(ScanError::KeyTooLong(2)));
}

#[test]
fn duplicates_are_found_among_many_names() {
    for count in [2usize, 15, 16, 17, 18, 500, 20_000] {
        let mut keys: Vec<String> =
            (0..count).map(|n| format!("\"key-with-a-long-common-part-{n}-and-tail\":0")).collect();
        assert!(scanned(format!("{{{}}}", keys.join(",")).as_bytes()).is_ok(), "{count}");
        keys.push(keys[count / 2].replace("key", "k\\u0065y"));
        assert_eq!(scanned(format!("{{{}}}", keys.join(",")).as_bytes()), Err(ScanError::DuplicateKey), "{count}");
    }
}

#[test]
fn arrays_give_their_elements() {
    let body = b" [ {\"a\":[1,2]} , 3,\"x\" ,[] ] ";
    let Ok(Document::Array(elements)) = scanned(body) else { panic!() };
    let texts: Vec<&[u8]> = elements.into_iter().map(|range| &body[range]).collect();
    assert_eq!(texts, [&b"{\"a\":[1,2]}"[..], b"3", b"\"x\"", b"[]"]);
    assert_eq!(scanned(b"[]"), Ok(Document::Array(vec![])));
    assert_eq!(scanned(b" null "), Ok(Document::Other));
}

#[test]
fn refusals_are_the_right_json_rpc_errors() {
    let code = |body: &[u8]| Error::from(scanned(body).unwrap_err()).code();
    assert_eq!(code(b"{"), ErrorCode::ParseError);
    assert_eq!(code(b"\xEF\xBB\xBF{}"), ErrorCode::ParseError);
    assert_eq!(code(br#"{"a":1,"a":1}"#), ErrorCode::InvalidRequest);
    assert_eq!(code("[".repeat(65).as_bytes()), ErrorCode::InvalidRequest);
}

#[test]
fn ids_are_told_apart() {
    for (text, want) in [
        ("1", IdKind::Integer),
        ("-7", IdKind::Integer),
        ("1.0", IdKind::Number),
        ("1e3", IdKind::Number),
        ("\"1\"", IdKind::String),
        ("null", IdKind::Null),
        ("true", IdKind::Other),
        ("[1]", IdKind::Other),
    ] {
        assert_eq!(
            envelope(&format!("{{\"id\": {text} }}")).id_kind(format!("{{\"id\": {text} }}").as_bytes()),
            Some(want)
        );
    }
}
