//! FindCoordinator: which broker keeps a group or a transactional id.

use klamm_model::ErrorCode;
use klamm_wire::{FindCoordinatorRequest, FindCoordinatorResponse, find_coordinator::Coordinator};

/// There are no coordinators yet. Kafka says the same while a coordinator's topic has no leader, so clients wait and ask again.
pub(crate) fn find(request: &FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    const GROUP: i8 = 0;
    const TRANSACTION: i8 = 1;
    let error_code = match request.key_type {
        GROUP | TRANSACTION => ErrorCode::CoordinatorNotAvailable,
        _ => ErrorCode::InvalidRequest,
    }
    .code();
    // Before version 4 there was one key to a request (KIP-699).
    if version < 4 {
        return FindCoordinatorResponse {
            error_code,
            error_message: None,
            node_id: -1,
            port: -1,
            ..Default::default()
        };
    }
    let nobody = |key: &String| Coordinator {
        key: key.clone(),
        node_id: -1,
        port: -1,
        error_code,
        error_message: None,
        ..Default::default()
    };
    FindCoordinatorResponse {
        coordinators: request.coordinator_keys.iter().map(nobody).collect(),
        ..Default::default()
    }
}
