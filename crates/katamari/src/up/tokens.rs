//! Who may call over the network: the tokens of this node's configuration, and those of the cluster.

use cluster::hard::AccessToken;
use faceplate::Node;
use faceplate::access::{Rate, Token};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Both kinds of tokens, and where they hold. Whoever changes one kind keeps the other.
pub struct Tokens {
    node: Arc<Node>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    file: Vec<Token>,
    cluster: BTreeMap<Arc<str>, AccessToken>,
}

impl Tokens {
    /// Those of the configuration, which hold from now on.
    pub fn new(node: Arc<Node>, file: Vec<Token>) -> Self {
        let tokens = Self {
            node,
            known: Mutex::default(),
        };
        tokens.set_file(file);
        tokens
    }

    /// The configuration has other tokens now.
    pub fn set_file(&self, file: Vec<Token>) {
        self.set(|known| known.file = file);
    }

    /// The cluster has other tokens now.
    pub fn set_cluster(&self, cluster: &BTreeMap<Arc<str>, AccessToken>) {
        self.set(|known| known.cluster.clone_from(cluster));
    }

    fn set(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self
            .known
            .lock()
            .expect("nothing panics while it holds this");
        change(&mut known);
        // Of two with one hash the last holds: on its own machine, that of the file.
        let all = known.cluster.iter().map(of_cluster);
        self.node
            .set_tokens(all.chain(known.file.iter().cloned()).collect());
    }
}

fn of_cluster((name, token): (&Arc<str>, &AccessToken)) -> Token {
    Token {
        name: name.clone(),
        hash: token.secret.0,
        kinds: token.kinds.clone(),
        class_max: token.class_max,
        rate: token.rate.map(|rate| Rate {
            calls_per_second: rate.calls_per_second,
            burst: rate.burst,
        }),
        observe: token.observe,
        expires_unix_s: token.expires_unix_s,
    }
}
