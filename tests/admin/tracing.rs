//! A request of the admin API has one name everywhere: in its answer, in the log, in the audit log.

use serde_json::{Value, json};

use crate::support::{TestGateway, place_with, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[test]
fn a_request_of_a_trace_is_found_by_it_in_answer_log_and_audit_log() {
    let place = place_with(TestGateway::setup(), &[]);
    let admin = &place.admin;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let asked = |header: (&str, &str), slug: &str| {
        let request = admin.request("POST", "/workspaces", Some(&json!({ "slug": slug })));
        request.header(header.0, header.1).send(admin.address)
    };
    let made = asked(("traceparent", &parent), "traced").expect(201);
    assert_eq!(made.header("x-request-id"), Some(TRACE));
    let refused = asked(("traceparent", &parent), "traced").expect(409);
    assert_eq!(refused.json()["request_id"], TRACE);
    asked(("x-request-id", "mine-42"), "named").expect(201);
    let rows = admin.get("/audit?action=workspace_created").expect(200).json();
    let ids: Vec<&Value> = rows["data"].as_array().unwrap().iter().map(|row| &row["request_id"]).collect();
    assert_eq!(ids[..2], [&json!("mine-42"), &json!(TRACE)], "{rows}");
    let lines = || -> Vec<Value> {
        let log = place.gateway.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "aerostack::admin" && line["request_id"] == TRACE).collect()
    };
    until("both requests are logged", || lines().len() == 2);
    let lines = lines();
    let said = |line: &Value| (line["status"].clone(), line["method"].clone(), line["route"].clone());
    let route = json!("/api/v1/admin/workspaces");
    assert_eq!(said(&lines[0]), (json!(201), json!("POST"), route.clone()));
    assert_eq!(said(&lines[1]), (json!(409), json!("POST"), route));
    // A path may hold what opens something: it is not in the log.
    let code = "inv_0123456789ABCDEFGHIJKLMNOPQRST0wPdvp";
    admin.post(&format!("/team/invites/{code}/accept"), json!({})).expect(410);
    until("the route is logged", || place.gateway.log().contains("/team/invites/{code}/accept"));
    assert!(!place.gateway.log().contains(code));
}
