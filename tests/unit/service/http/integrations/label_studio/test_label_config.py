from __future__ import annotations

import pytest

from service.errors import InvalidRequest
from service.http.integrations.label_studio.label_config import ChoicesControl, ProjectLabel, parse_label_config

CONFIG = """
<View>
  <Header value="What is on the runway?"/>
  <Image name="img" value="$photo" zoom="true"/>
  <Image name="other" value="$second"/>
  <View><Choices name="tags" toName="img" choice="multiple">
    <Choice value="bolt"/><Choice value="The nut" alias="nut"/></Choices></View>
  <Choices name="own" toName="img" value="$options"/>
  <Choices name="state" toName="img" perRegion="true"><Choice value="bolt"/></Choices>
  <RectangleLabels name="box" toName="img,other">
    <Label value="bolt"/><Label value="The nut" alias="nut"/></RectangleLabels>
  <rectanglelabels name="ask" toName="img" smart="TRUE"><Label value="bolt"/></rectanglelabels>
  <BrushLabels name="away" toName="other"><Label value="bolt"/></BrushLabels>
</View>
"""


def test_what_belongs_to_the_first_image_is_read() -> None:
    config = parse_label_config(CONFIG)
    assert config.image_field == "photo"
    assert [(c.target.from_name, c.target.to_name, c.target.kind) for c in config.outputs] == [
        ("box", "img", "rectanglelabels")
    ]
    labels = (ProjectLabel("bolt", "bolt"), ProjectLabel("nut", "The nut"))
    assert config.outputs[0].labels == labels
    assert config.choices == (ChoicesControl("tags", labels), ChoicesControl("own", None))
    assert not config.needs_masks


def test_a_smart_tool_holds_results_if_nothing_else_does() -> None:
    config = parse_label_config(CONFIG.replace('name="box" toName="img,other"', 'name="box" toName="other"'))
    assert [control.target.from_name for control in config.outputs] == ["ask"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (None, "is empty"),
        ("<View>", "not well-formed"),
        ("<View/>", "no <Image"),
        ('<View><Image name="i" value="$image"/></View>', "no RectangleLabels"),
        ('<View><Text name="t" value="$text"/></View>', "no <Image"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>', "entities"),
        ("<View>" * 5000, "not well-formed"),
    ],
    ids=["empty", "none", "torn", "nothing", "no regions", "text", "entities", "deep"],
)
def test_a_config_without_regions_is_refused_in_words(text: object, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse_label_config(text)
