//! Starting, watching and stopping a gateway.

mod actors;
mod alone;
mod audit;
mod audit_state;
mod backup;
mod backup_damage;
mod plans;
mod probes;
mod refusals;
mod refusing_to_start;
mod stopping;
mod storage;
mod traces;
