"""Which imported images no host can verify by the vendor's signature: those that a form let in which hosts do not find (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airgap.oci.reference import Reference
from airgap.state import Accepted
from airgap.text import plural
from airgap.trust.judge.hosts import TAGS_ALONE, unread_form
from airgap.trust.judge.images import judged_name
from airgap.trust.policy.document import Policy
from airgap.trust.policy.requirements import SigstoreSigned
from airgap.trust.policy.scopes import requirements_for_image


def unread_images(policy: Policy, accepted: Iterable[Accepted]) -> Iterator[str]:
    """A warning for each image, and one that says what to do.

    Args:
        policy: the site's, as the hosts will have it: where it asks for no sigstore signature, they need to find none.
        accepted: the images at the target, with the forms of the signatures by which the import accepted them.
    """
    count = 0
    for image in accepted:
        unread = [title for form in image.forms if (title := unread_form(form)) is not None]
        if unread and _asks(policy, Reference.parse(image.source)):
            count += 1
            yield f"{image.source} was accepted by {' and '.join(unread)}: hosts will refuse {image.name}"
    if count:
        yield (
            f"{TAGS_ALONE}: import {plural(count, 'such image')} again with --sign-by KEY, which signs at the site as .sig tags, "
            "and give mirror-config the public key: --site-key KEY.pub"
        )


def _asks(policy: Policy, source: Reference) -> bool:
    found = requirements_for_image(policy, judged_name(source)).requirements
    return any(isinstance(one, SigstoreSigned) for one in found)
