//! Whatever happens in whatever order: no slot is taken twice or lost, every assignment is taken
//! or refused exactly once, every call runs at most once and is answered once.
//!
//! More lists: `PROPTEST_CASES=100000 cargo nextest run -p katamari-pool --release`.

use crate::network::Network;
use pool::Class;
use proptest::prelude::*;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Step {
    Call {
        pick: usize,
        class: Class,
        avoid: Option<u32>,
    },
    Cancel(usize),
    Deliver(usize),
    End {
        pick: usize,
        declines: bool,
    },
    SayWants(usize),
    Toggle(usize),
    AddWorker(usize),
    WithdrawWorker(usize, u32),
    GiveUpAhead(usize),
    Tick,
    Pass(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![Just(Class::High), Just(Class::Normal), Just(Class::Low)];
    let call = (any::<usize>(), class, prop::option::weighted(0.2, 1..3_u32));
    prop_oneof![
        8 => call.prop_map(|(pick, class, avoid)| Step::Call { pick, class, avoid }),
        1 => any::<usize>().prop_map(Step::Cancel),
        24 => any::<usize>().prop_map(Step::Deliver),
        6 => (any::<usize>(), prop::bool::weighted(0.1))
            .prop_map(|(pick, declines)| Step::End { pick, declines }),
        4 => any::<usize>().prop_map(Step::SayWants),
        1 => any::<usize>().prop_map(Step::Toggle),
        1 => any::<usize>().prop_map(Step::AddWorker),
        1 => (any::<usize>(), any::<u32>()).prop_map(|(at, number)| Step::WithdrawWorker(at, number)),
        1 => any::<usize>().prop_map(Step::GiveUpAhead),
        1 => Just(Step::Tick),
        3 => (0..1_000_000_u64).prop_map(Step::Pass),
    ]
}

fn take(network: &mut Network, step: &Step) {
    match *step {
        Step::Call { pick, class, avoid } => network.call(pick, class, avoid),
        Step::Cancel(pick) => network.cancel(pick),
        Step::Deliver(pick) => _ = network.deliver(pick),
        Step::End { pick, declines } => _ = network.end(pick, declines),
        Step::SayWants(pick) => network.say_wants(pick),
        Step::Toggle(pick) => network.toggle(pick),
        Step::AddWorker(pick) => network.add_worker(pick),
        Step::WithdrawWorker(pick, number) => network.withdraw_worker(pick, number),
        Step::GiveUpAhead(pick) => network.give_up_ahead(pick),
        Step::Tick => network.tick(),
        Step::Pass(micros) => network.pass(Duration::from_micros(micros)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_slot_and_no_call_is_lost_or_used_twice(
        nodes in 1..4_usize,
        dispatchers in 1..5_usize,
        steps in prop::collection::vec(any_step(), 1..400),
    ) {
        let mut network = Network::new(nodes, 2, 1, dispatchers, true);
        for step in &steps {
            take(&mut network, step);
        }
        network.come_to_rest();
    }
}
