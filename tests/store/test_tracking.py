"""Terms of tracking as they are stored, and when a tracking host counts."""

from outrider.store import domains, tracking
from outrider.store.domains import Domain
from outrider.store.pool import Store
from outrider.store.tracking import Said
from outrider.testing.clock import FakeClock
from outrider.testing.mailroom import Mailroom


async def test_a_project_and_its_domain_say_their_own(store: Store, mailroom: Mailroom, clock: FakeClock) -> None:
    shop, other = await mailroom.project("shop"), await mailroom.project("other")
    own = Domain(mailroom.new_id(), shop, "shop.example", clock.now(), tracking_host="t.shop.example")
    async with store.transaction() as tx:
        await domains.insert(tx, own)
        await tracking.set_of_project(tx, shop, '{"opens": "all"}')
        assert await tracking.set_of_domain(tx, shop, "shop.example", '{"clicks": "off"}')
        assert not await tracking.set_of_domain(tx, other, "shop.example", "{}")
        said = await tracking.of_mail(tx, shop, "shop.example")
        assert said == Said('{"opens": "all"}', '{"clicks": "off"}', ""), "nobody has proven the domain"
        await domains.verify(tx, shop, own.domain_id, now=clock.now())
        assert (await tracking.of_mail(tx, shop, "shop.example")).host == "t.shop.example"
        assert await tracking.of_mail(tx, shop, "unknown.example") == Said('{"opens": "all"}')
        assert await tracking.of_mail(tx, other, "shop.example") == Said()
        assert await tracking.of_mail(tx, mailroom.new_id(), "shop.example") == Said()
