//! Files are brought to a place, as often as it takes.

use std::sync::Arc;

use anyhow::Result;
use sockeye::dial;
use sockeye::transfer::{Hello, Item, Pace, Role, Talk, VERSION, send};

use super::{Meter, Place, number, options, persist};
use crate::args::SendArgs;

/// How often files that change while they are sent are looked at again.
const LOOKS: u32 = 3;

/// Brings all of `items` to `place`; the meter hears what became of each.
///
/// # Errors
/// When the other end cannot be reached, or gives up.
pub(crate) async fn deliver(
    args: &SendArgs,
    place: &Place,
    mut items: Arc<[Item]>,
    meter: &Meter,
) -> Result<()> {
    let options = options(&args.way, place)?;
    let mut pace = args.limit_rate.map(Pace::new);
    let id = number()?;
    for look in 0..=LOOKS {
        persist(&args.way, meter, async |was_reached| {
            let session = dial(&place.address, &options).await?;
            let hello = Hello {
                version: VERSION,
                role: Role::Push,
                id,
                path: place.path.clone(),
            };
            let mut talk = Talk::visit(session.into_stream(), hello).await?;
            *was_reached = true;
            let sent = send(&mut talk, &items, pace.as_mut(), meter).await;
            Ok(talk.ended(sent).await?)
        })
        .await?;
        let changed = items.iter().filter(|item| item.outcome.get().is_none());
        let changed: Vec<_> = changed.map(|item| item.path.clone()).collect();
        if changed.is_empty() {
            return Ok(());
        }
        for name in &changed {
            match look {
                LOOKS => meter.failed(name, "it changes all the time, or cannot be read"),
                _ => meter.note(&format!("{name} changed while it was sent; trying again")),
            }
        }
        items = look_again(&items, meter);
    }
    Ok(())
}

/// The same files as they are now; those that have gone are told.
fn look_again(items: &[Item], meter: &Meter) -> Arc<[Item]> {
    let looked = items.iter().filter_map(|item| match item.look_again() {
        Ok(again) => Some(again),
        Err(error) => {
            meter.failed(&item.path, &format!("it is gone: {error}"));
            None
        }
    });
    looked.collect()
}
