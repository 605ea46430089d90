//! What the admin API refuses is counted in the audit log.

use super::*;
use crate::{
    actors::audit_log::Flush,
    admin::{audit_verify, dto::VerifyAudit},
    error::ErrorCode,
    store::audit::{self, AuditFilter, AuditKind},
};

#[actix_web::test]
async fn failed_sign_ins_and_forbidden_acts_are_counted_without_the_credential() {
    let gateway = Gateway::start().await;
    let viewer = key(&gateway.actors, gateway.owner, Some(Role::Viewer)).await;
    for _ in 0..3 {
        assert_eq!(gateway.ask_as("aak_CANARY", Method::GET, "/whoami", None).await.status, 401);
        let denied = gateway.ask_as(&viewer, Method::POST, "/workspaces", Some(json!({"slug": "x-y"}))).await;
        assert_eq!(denied.status, 403, "{denied:?}");
    }
    assert_eq!(gateway.get("/workspaces/unknown").await.status, 404, "what is not there is no refusal");
    let soon = std::time::Duration::from_secs(5);
    assert!(gateway.actors.audit.log().ask(Flush, soon).await.unwrap());
    let filter = AuditFilter { kinds: vec![AuditKind::Security], ..AuditFilter::newest(gateway.owner, 100) };
    let rows = gateway.actors.store.read(move |db| async move { audit::list(&db, filter).await }).await.unwrap();
    let mut seen: Vec<_> = rows
        .iter()
        .map(|row| (row.entry.action.as_str(), row.entry.target.as_str(), row.entry.detail["times"].as_u64()))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [("auth_failed", BASE, Some(3)), ("forbidden", "POST /api/v1/admin/workspaces", Some(3))]);
    assert!(!format!("{rows:?}").contains("CANARY"));
}

#[actix_web::test]
async fn one_check_of_the_audit_log_runs_at_a_time_whoever_asks_for_it() {
    let gateway = Gateway::start().await;
    gateway.actors.audit.set_owner(gateway.owner);
    let by = gateway.principal();
    let ask = || audit_verify::verify(&gateway.admin, &by, VerifyAudit::default());
    let busy = gateway.admin.audit_check.acquire().await.unwrap();
    assert_eq!(ask().await.unwrap_err().code(), ErrorCode::Overloaded);
    drop(busy);
    assert!(ask().await.unwrap().intact);
}
