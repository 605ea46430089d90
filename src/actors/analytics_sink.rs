//! stub
#[derive(Clone)]
pub struct Analytics;
impl Analytics { pub fn record(&self, _e: crate::store::analytics::ToolCallEvent) {} }
