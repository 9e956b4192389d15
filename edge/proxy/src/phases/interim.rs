//! Interim answers of the origin (RFC 9110 §15.2): passed on to one visitor, never stored.

use super::forwarding::is_hop_by_hop;
use super::parse::is_well_formed;
use crate::scratch::Scratch;
use crate::wire::{OriginHead, RequestHead};

/// True when `scratch.response` holds an interim head for the client. 100 ends here: whether the client may
/// send its body was decided when the request was admitted.
pub(crate) fn run(request: &RequestHead<'_>, interim: &OriginHead<'_>, scratch: &mut Scratch) -> bool {
    if request.http10 || !(102..=199).contains(&interim.status) || !is_well_formed(&interim.fields) {
        return false;
    }
    scratch.response.reset(interim.status);
    for field in &interim.fields {
        if !is_hop_by_hop(&interim.fields, field) {
            scratch
                .response
                .fields
                .push_field(field.id, field.name, field.value);
        }
    }
    true
}
