//! stub
use std::time::Duration;
use crate::{actors::supervisor::Runtime, store::Store};
/// stub
#[derive(Clone)]
pub struct Audit;
impl Audit {
    /// stub
    pub fn start(_r: &Runtime, _s: Store) -> Self { Audit }
    /// stub
    pub async fn drain(&self, _d: Duration) {}
}
