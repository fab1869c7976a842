import re

from polong.kit import ids


def test_ids_have_the_shapes_that_others_rely_on() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", ids.container_id())
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", ids.uid())
    assert re.fullmatch(r"[bcdfghjklmnpqrstvwxz2456789]{5}", ids.name_suffix())
    assert len({ids.container_id() for _ in range(100)}) == 100
