//! `grpc.health.v1`: whether the node, or a kind, has live workers.

use super::body::Frames;
use super::descriptor::{enumeration, plain};
use super::frames::wrap;
use super::methods;
use super::status::Status;
use crate::desk::Desk;
use crate::errors::stopping;
use crate::node::Node;
use crate::server::Closing;
use crate::status;
use dispatch::{CallError, Code};
use futures_util::stream::{StreamExt, unfold};
use pool::PoolView;
use prost::Message;
use prost_types::field_descriptor_proto::Type;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto,
    ServiceDescriptorProto,
};
use std::sync::Arc;
use std::time::Duration;

/// The service.
pub(super) const SERVICE: &str = "grpc.health.v1.Health";

/// How often it is looked whether something has changed, for those who watch.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    /// The service's whole name; empty: the node.
    #[prost(string, tag = "1")]
    pub service: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    #[prost(int32, tag = "1")]
    pub status: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

/// Answers `Check`.
pub(super) async fn check(node: &Node, request: &Request) -> Result<Vec<u8>, Status> {
    match health(node, &request.service).await? {
        Health::ServiceUnknown => {
            let message = format!("no such service: {}", request.service);
            Err(CallError::new(Code::NoPool, message).into())
        }
        health => Ok(encoded(health)),
    }
}

/// Answers `Watch`: how it is, and each change, until the client or the node leaves.
pub(super) fn watch(desk: Arc<Desk>, closing: Closing, request: Request) -> Frames {
    let watcher = Some((None, closing));
    let changes = unfold(watcher, move |watcher| {
        let (desk, service) = (desk.clone(), request.service.clone());
        async move {
            let (last, mut closing) = watcher?;
            tokio::select! {
                next = change(&desk.node, &service, last) => {
                    let frame = next.and_then(|now| Ok((wrap(&encoded(now))?, now)));
                    Some(match frame {
                        Ok((frame, now)) => (Ok(frame), Some((Some(now), closing))),
                        Err(status) => (Err(status), None),
                    })
                }
                _ = closing.begun() => {
                    Some((Err(stopping().into()), None))
                }
            }
        }
    });
    changes.boxed()
}

/// What is next to be said after what was said last.
async fn change(node: &Node, service: &str, last: Option<Health>) -> Result<Health, Status> {
    loop {
        let now = health(node, service).await?;
        if Some(now) != last {
            return Ok(now);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn health(node: &Node, service: &str) -> Result<Health, Status> {
    let is_serving = if service.is_empty() {
        status::is_ready(node).await
    } else if service == SERVICE {
        true
    } else {
        let services = methods::services(node).await?;
        let Some(found) = services.all.iter().find(|known| known.name == service) else {
            return Ok(Health::ServiceUnknown);
        };
        let pools = node.observer.pools().await.map(|status| status.pools);
        let mut pools = pools.into_iter().flatten();
        let lives = |pool: PoolView| {
            pool.slots > 0 && pool.description.details.kind.as_ref() == Some(&found.kind)
        };
        !node.is_draining() && pools.any(lives)
    };
    Ok(if is_serving {
        Health::Serving
    } else {
        Health::NotServing
    })
}

fn encoded(health: Health) -> Vec<u8> {
    Response {
        status: health as i32,
    }
    .encode_to_vec()
}

/// The descriptor of the service.
pub(super) fn file() -> FileDescriptorProto {
    let message = |name: &str, field| DescriptorProto {
        name: Some(name.to_owned()),
        field: vec![field],
        ..DescriptorProto::default()
    };
    let status = ".grpc.health.v1.HealthCheckResponse.ServingStatus";
    let status = FieldDescriptorProto {
        type_name: Some(status.to_owned()),
        ..plain("status", 1, Type::Enum)
    };
    let words = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
    let response = DescriptorProto {
        enum_type: vec![enumeration("ServingStatus", &words)],
        ..message("HealthCheckResponse", status)
    };
    let service = plain("service", 1, Type::String);
    let method = |name: &str, stream: bool| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(".grpc.health.v1.HealthCheckRequest".to_owned()),
        output_type: Some(".grpc.health.v1.HealthCheckResponse".to_owned()),
        server_streaming: stream.then_some(true),
        ..MethodDescriptorProto::default()
    };
    FileDescriptorProto {
        name: Some("grpc/health/v1/health.proto".to_owned()),
        package: Some("grpc.health.v1".to_owned()),
        message_type: vec![message("HealthCheckRequest", service), response],
        service: vec![ServiceDescriptorProto {
            name: Some("Health".to_owned()),
            method: vec![method("Check", false), method("Watch", true)],
            options: None,
        }],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}
