//! What an hour costs, as far as it is known here. Nothing is asked of AWS, and what is not in the table is not guessed.

use machine_core::MachineRef;

use crate::driver::Ec2Driver;
use crate::options::{Ec2Options, USUAL_REGION, USUAL_TYPE};

/// Where the prices are from.
pub const PRICES_ARE_OF: &str = "AWS's on-demand price list as others cite it in 2026 (aws.amazon.com/ec2/pricing/on-demand is what counts), US dollars, Linux, without taxes";

/// The size `nano` of the burstable families, US dollars an hour; each larger one costs twice as much. Nobody here can ask AWS: these are
/// the figures on which public sources of 2026 agree that cite its on-demand price list
/// (<https://aws.amazon.com/ec2/pricing/on-demand/>); where they differ (t4g in Europe), there is none.
const NANO: &[(&str, &str, f64)] = &[
    ("us-east-1", "t3", 0.0052),
    ("us-east-1", "t3a", 0.0047),
    ("us-east-1", "t4g", 0.0042),
    ("us-west-2", "t3", 0.0052),
    ("us-west-2", "t3a", 0.0047),
    ("eu-central-1", "t3", 0.0060),
    ("eu-west-1", "t3", 0.0057),
];
/// The sizes, each twice as dear as the one before.
const SIZES: [&str; 7] = ["nano", "micro", "small", "medium", "large", "xlarge", "2xlarge"];
/// A public IPv4 address, in every region since February 2024 (<https://aws.amazon.com/vpc/pricing/>).
const ADDRESS: f64 = 0.005;

/// What an instance costs while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// US dollars an hour; none where it is not known.
    pub hourly: Option<f64>,
    /// What is in it, or why it is not known.
    pub note: String,
}

impl Ec2Driver {
    /// What a machine costs an hour, by its type and region.
    pub fn price(machine: MachineRef<'_>) -> Price {
        match Ec2Options::of(&machine.record.spec) {
            Ok(options) => price(&options),
            Err(error) => Price { hourly: None, note: error.to_string() },
        }
    }
}

fn price(options: &Ec2Options) -> Price {
    let region = options.region.as_deref().unwrap_or(USUAL_REGION);
    let kind = options.instance_type.as_deref().unwrap_or(USUAL_TYPE);
    let unknown = |why: String| Price { hourly: None, note: why };
    if options.endpoint.is_some() {
        return unknown("it is not at Amazon".to_owned());
    }
    if options.spot {
        return unknown("the price of a spot instance changes; the AWS console shows it".to_owned());
    }
    let (family, size) = kind.split_once('.').unwrap_or((kind, ""));
    let nano = NANO.iter().find(|(of, name, _)| *of == region && *name == family).map(|(_, _, nano)| *nano);
    let factor = SIZES.iter().position(|name| *name == size).and_then(|at| i32::try_from(at).ok());
    match (nano, factor) {
        (Some(nano), Some(factor)) => {
            let address = if options.private_address_only { 0.0 } else { ADDRESS };
            Price {
                hourly: Some(nano * 2_f64.powi(factor) + address),
                note: format!("{kind} in {region} and its address, without disks and traffic"),
            }
        }
        _ => unknown(format!("no price is known here for {kind} in {region}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(region: &str, kind: &str) -> Price {
        price(&Ec2Options { region: Some(region.into()), instance_type: Some(kind.into()), ..Ec2Options::default() })
    }

    #[test]
    fn a_price_is_known_or_said_to_be_unknown_and_never_guessed() {
        let hourly = |region, kind| of(region, kind).hourly.map(|price| format!("{price:.4}"));
        assert_eq!(hourly("us-east-1", "t3.medium").as_deref(), Some("0.0466"), "0.0416 and 0.005 for its address");
        assert_eq!(hourly("eu-west-1", "t3.small").as_deref(), Some("0.0278"));
        for (region, kind) in [
            ("us-east-1", "m7i.large"),
            ("eu-central-1", "t4g.small"),
            ("ap-south-1", "t3.small"),
            ("us-east-1", "t3.metal"),
            ("us-east-1", "t3"),
        ] {
            assert_eq!(of(region, kind).hourly, None, "{region} {kind}");
        }
        assert!(of("us-east-1", "p5.48xlarge").note.contains("no price is known here for p5.48xlarge"));
        let spot = price(&Ec2Options { spot: true, ..Ec2Options::default() });
        assert_eq!(spot.hourly, None);
    }
}
