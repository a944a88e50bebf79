use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// nginx's smooth weighted round robin as a table: which server (by index) takes each turn of a round.
///
/// nginx adds each server's weight to its current value, picks the highest (the first of equals) and
/// takes the total off it. Here servers of one weight form a class: within it the one picked least
/// is highest, so a turn looks at one server for each distinct weight instead of at all.
/// Weights 5, 1, 1 give a a b a c a a.
///
/// A round has as many turns as the weights' sum by their greatest common divisor, at most
/// [`LONGEST`] or four times the number of servers; beyond that weights are scaled down, each to at
/// least 1. Scaling also bounds the distinct weights, and with them the time to build: about the
/// square root of twice the turns, so some milliseconds at worst for a group of ordinary size.
pub(super) fn sequence(weights: &[u16]) -> Box<[u32]> {
    let weights = scaled(weights);
    let total: u64 = weights.iter().sum();
    let mut classes: BTreeMap<u64, Class> = BTreeMap::new();
    for (index, &weight) in (0u32..).zip(&weights).filter(|(_, weight)| **weight > 0) {
        classes.entry(weight).or_default().push(Reverse((0, index)));
    }
    (1..=total)
        .filter_map(|turn| take_turn(&mut classes, turn, total))
        .collect()
}

/// Servers of one weight, the least picked first, then in file order: (times picked, index).
type Class = BinaryHeap<Reverse<(u64, u32)>>;

fn take_turn(classes: &mut BTreeMap<u64, Class>, turn: u64, total: u64) -> Option<u32> {
    let value = |weight: u64, picked: u64| i128::from(turn * weight) - i128::from(picked * total);
    let heads = classes.iter().filter_map(|(&weight, class)| {
        let &Reverse((picked, index)) = class.peek()?;
        Some((value(weight, picked), Reverse(index), weight))
    });
    let (_, Reverse(index), weight) = heads.max()?;
    let class = classes.get_mut(&weight)?;
    let Reverse((picked, _)) = class.pop()?;
    class.push(Reverse((picked + 1, index)));
    Some(index)
}

/// Turns of a round where servers are few: shares are then exact to 1/8192.
const LONGEST: u64 = 8192;

fn scaled(weights: &[u16]) -> Vec<u64> {
    let divisor = weights
        .iter()
        .fold(0, |divisor, &weight| gcd(divisor, u64::from(weight)))
        .max(1);
    let reduced: Vec<u64> = weights
        .iter()
        .map(|&weight| u64::from(weight) / divisor)
        .collect();
    let sum: u64 = reduced.iter().sum();
    let longest = LONGEST.max(4 * weights.len() as u64);
    if sum <= longest {
        return reduced;
    }
    let scale = |weight: u64| {
        if weight == 0 {
            0
        } else {
            (weight * longest / sum).max(1)
        }
    };
    reduced.into_iter().map(scale).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// nginx's loop, word for word as it is documented.
    fn nginx(weights: &[u16]) -> Vec<u32> {
        let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
        let mut current = vec![0i64; weights.len()];
        let round = total / (weights.iter().fold(0, |a, &b| gcd(a, u64::from(b))).max(1) as i64);
        let turn = |_| {
            current
                .iter_mut()
                .zip(weights)
                .for_each(|(current, &weight)| *current += i64::from(weight));
            let mut best = 0;
            for index in 1..current.len() {
                if current[index] > current[best] {
                    best = index;
                }
            }
            current[best] -= total;
            best as u32
        };
        (0..round).map(turn).collect()
    }

    #[test]
    fn weights_5_1_1_give_a_a_b_a_c_a_a() {
        assert_eq!(*sequence(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
    }

    proptest! {
        #[test]
        fn the_table_is_the_loop_of_nginx(weights in prop::collection::vec(1u16..40, 1..12)) {
            prop_assert_eq!(sequence(&weights).to_vec(), nginx(&weights));
        }

        #[test]
        fn any_weights_make_a_bounded_table_without_the_weightless(weights in prop::collection::vec(any::<u16>(), 0..60)) {
            let table = sequence(&weights);
            prop_assert!(table.len() as u64 <= LONGEST + weights.len() as u64);
            for (index, weight) in weights.iter().enumerate() {
                prop_assert_eq!(table.contains(&(index as u32)), *weight > 0);
            }
        }
    }

    #[test]
    fn a_large_group_of_equals_takes_turns_in_order() {
        let table = sequence(&[3; 100_000]);
        assert!(
            table
                .iter()
                .enumerate()
                .all(|(turn, &index)| turn as u32 == index)
        );
    }
}
