"""What vendors' side files say is read, and a file that is no such file is named."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pithead.errors import CatalogError
from pithead.sidefiles import Facts, read_sidefile, read_sidefiles, stac_facts

# Values are invented; names, order and units are those of the vendors' documentation.
IMD = """version = "28.3";
generationTime = 2019-03-14T08:04:32.000000Z;
productOrderId = "056000000010_01_P001";
imageDescriptor = "OrthoRectified3";
bandId = "BGRN";
numRows = 21365;
numColumns = 21366;
productLevel = "LV3D";
BEGIN_GROUP = BAND_B
\tULLon =  129.27992605;
\tabsCalFactor = 8.919000e-03;
END_GROUP = BAND_B
outputFormat = "GeoTIFF";
BEGIN_GROUP = IMAGE_1
\tsatId = "WV02";
\tmode = "FullSwath";
\tCatId = "1030010000000000";
\tfirstLineTime = 2019-03-12T02:11:08.484783Z;
\tmeanCollectedGSD =   0.505;
\tmeanSunAz = 156.6;
\tmeanSunEl =  39.1;
\tmeanSatAz = 270.1;
\tmeanSatEl =  60.0;
\tminOffNadirViewAngle =  26.7;
\tmaxOffNadirViewAngle =  27.1;
\tmeanOffNadirViewAngle =  26.9;
\tcloudCover = 0.018;
\tresamplingKernel = "ENH";
END_GROUP = IMAGE_1
BEGIN_GROUP = MAP_PROJECTED_PRODUCT
\tearliestAcqTime = 2019-03-12T02:11:14.025591Z;
\tlatestAcqTime = 2019-03-12T02:11:14.025591Z;
\tdatumOffset = (
\t     0.000,
\t     0.000,
\t     0.000 );
\tproductUnits = "M";
\tcolSpacing =  0.50;
\tproductGSD =  0.50;
END_GROUP = MAP_PROJECTED_PRODUCT
END;
"""
WV02 = Facts(
    acquired=datetime(2019, 3, 12, 2, 11, 8, 484783, tzinfo=UTC),
    sensor="WV02",
    gsd_m=0.5,
    off_nadir_deg=26.9,
    sun_azimuth_deg=156.6,
    sun_elevation_deg=39.1,
    cloud_percent=1.8,
    level="LV3D",
    source="scene.IMD",
)
ISD = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<isd>
  <IMD>
    <VERSION>28.3</VERSION>
    <PRODUCTLEVEL>LV3D</PRODUCTLEVEL>
    <BAND_B><ULLON>1.2927992605e+02</ULLON></BAND_B>
    <IMAGE>
      <SATID>WV02</SATID>
      <FIRSTLINETIME>2019-03-12T02:11:08.484783Z</FIRSTLINETIME>
      <MEANCOLLECTEDGSD>5.050000000000000e-01</MEANCOLLECTEDGSD>
      <MEANSUNAZ>1.566000000000000e+02</MEANSUNAZ>
      <MEANSUNEL>3.910000000000000e+01</MEANSUNEL>
      <MEANOFFNADIRVIEWANGLE>2.690000000000000e+01</MEANOFFNADIRVIEWANGLE>
      <CLOUDCOVER>1.800000000000000e-02</CLOUDCOVER>
    </IMAGE>
    <MAP_PROJECTED_PRODUCT><PRODUCTGSD>5.000000000000000e-01</PRODUCTGSD></MAP_PROJECTED_PRODUCT>
  </IMD>
  <TIL><BANDID>BGRN</BANDID></TIL>
</isd>
"""


def located(where: str, viewing: float, sun: float) -> str:
    return f"""<Located_Geometric_Values>
      <LOCATION_TYPE>{where}</LOCATION_TYPE>
      <TIME>2023-07-26T07:22:04.569529Z</TIME>
      <Acquisition_Angles>
        <AZIMUTH_ANGLE unit="deg">187.13</AZIMUTH_ANGLE>
        <VIEWING_ANGLE_ACROSS_TRACK unit="deg">-2.46</VIEWING_ANGLE_ACROSS_TRACK>
        <VIEWING_ANGLE unit="deg">{viewing}</VIEWING_ANGLE>
        <INCIDENCE_ANGLE_ALONG_TRACK unit="deg">28.88</INCIDENCE_ANGLE_ALONG_TRACK>
        <INCIDENCE_ANGLE unit="deg">{viewing + 3}</INCIDENCE_ANGLE>
      </Acquisition_Angles>
      <Solar_Incidences>
        <SUN_AZIMUTH unit="deg">34.85</SUN_AZIMUTH>
        <SUN_ELEVATION unit="deg">{sun}</SUN_ELEVATION>
      </Solar_Incidences>
      <Ground_Sample_Distance>
        <GSD_ACROSS_TRACK unit="m">0.34</GSD_ACROSS_TRACK>
        <GSD_ALONG_TRACK unit="m">0.38</GSD_ALONG_TRACK>
      </Ground_Sample_Distance>
    </Located_Geometric_Values>"""


SOURCE = """<Source_Identification><SOURCE_TYPE>Strip_Source</SOURCE_TYPE><Strip_Source>
      <MISSION>PNEO</MISSION><MISSION_INDEX>4</MISSION_INDEX>
      <IMAGING_DATE>2023-07-26</IMAGING_DATE><IMAGING_TIME>07:22:04.4</IMAGING_TIME>
    </Strip_Source></Source_Identification>"""
PLACED = '<Geoposition_Insert><XDIM unit="m">0.3</XDIM><YDIM unit="m">0.3</YDIM></Geoposition_Insert>'


def dimap(*, source: str = SOURCE, placed: str = PLACED) -> str:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Dimap_Document version="1.2">
  <Metadata_Identification><METADATA_FORMAT version="2.0">DIMAP</METADATA_FORMAT></Metadata_Identification>
  <Dataset_Content><CLOUD_COVERAGE unit="percent">4</CLOUD_COVERAGE></Dataset_Content>
  <Geoposition>{placed}</Geoposition>
  <Processing_Information><Product_Settings><PROCESSING_LEVEL>ORTHO</PROCESSING_LEVEL></Product_Settings>
  </Processing_Information>
  <Geometric_Data><Use_Area>
    {located("Top Center", 26.4, 40.96)}{located("Center", 26.3, 40.95)}{located("BottomCenter", 26.2, 40.94)}
  </Use_Area></Geometric_Data>
  <Dataset_Sources>{source}</Dataset_Sources>
</Dimap_Document>
"""


PNEO4 = Facts(
    acquired=datetime(2023, 7, 26, 7, 22, 4, 400000, tzinfo=UTC),
    sensor="PNEO4",
    gsd_m=0.3,
    off_nadir_deg=26.3,
    incidence_deg=29.3,
    sun_azimuth_deg=34.85,
    sun_elevation_deg=40.95,
    cloud_percent=4,
    level="ORTHO",
    source="DIM_a.XML",
)
SPOT5 = """<?xml version="1.0" encoding="ISO-8859-1"?>
<Dimap_Document>
  <Metadata_Id><METADATA_FORMAT version="1.1">DIMAP</METADATA_FORMAT></Metadata_Id>
  <Dataset_Sources><Source_Information><SOURCE_ID>52942750610230236531A</SOURCE_ID><Scene_Source>
    <IMAGING_DATE>2006-10-23</IMAGING_DATE><IMAGING_TIME>02:36:53</IMAGING_TIME>
    <MISSION>SPOT</MISSION><MISSION_INDEX>5</MISSION_INDEX>
    <INCIDENCE_ANGLE>-16.5</INCIDENCE_ANGLE><VIEWING_ANGLE>-14.4</VIEWING_ANGLE>
    <SUN_AZIMUTH>162.1</SUN_AZIMUTH><SUN_ELEVATION>37.2</SUN_ELEVATION>
  </Scene_Source></Source_Information></Dataset_Sources>
  <Data_Processing><PROCESSING_LEVEL>1A</PROCESSING_LEVEL></Data_Processing>
</Dimap_Document>
"""
PLANET = {
    "id": "20190312_021108_ssc1d1_0012",
    "type": "Feature",
    "geometry": {"type": "Point", "coordinates": [129, 40]},
    "properties": {
        "acquired": "2019-03-12T02:11:08.75Z",
        "item_type": "SkySatScene",
        "satellite_id": "SSC1",
        "cloud_cover": 0.07,
        "gsd": 0.72,
        "pixel_resolution": 0.8,
        "satellite_azimuth": 285.7,
        "sun_azimuth": 176.4,
        "sun_elevation": 46.9,
        "view_angle": -8.1,
    },
}


def test_maxar_imd(tmp_path: Path) -> None:
    (tmp_path / "scene.IMD").write_text(IMD)
    assert read_sidefiles(tmp_path / "scene.TIF") == WV02


def test_maxar_xml_says_what_the_imd_says(tmp_path: Path) -> None:
    (tmp_path / "scene.XML").write_text(ISD)
    found = read_sidefiles(tmp_path / "scene.tif")
    assert found.source == "scene.XML"
    assert found.over(Facts()) == Facts(source="scene.XML").over(WV02)


def test_tiles_of_a_maxar_product_share_its_imd(tmp_path: Path) -> None:
    (tmp_path / "19MAR12021108-S3DS-056_01_P001.IMD").write_text(IMD)
    found = read_sidefiles(tmp_path / "19MAR12021108-S3DS_R2C1-056_01_P001.TIF")
    assert found.sensor == "WV02"


def test_a_basic_product_has_the_ground_resolution_of_its_image(tmp_path: Path) -> None:
    begin = IMD.index("BEGIN_GROUP = MAP_PROJECTED_PRODUCT")
    text = IMD[:begin] + "END;\n"
    (tmp_path / "a.IMD").write_text(text)
    assert read_sidefile(tmp_path / "a.IMD") == Facts(gsd_m=0.505, source="a.IMD").over(WV02)
    (tmp_path / "a.IMD").write_text(text.replace("meanSunAz", "meanProductGSD = 0.503;\n\tmeanSunAz"))
    assert read_sidefiles(tmp_path / "a.TIF").gsd_m == 0.503


def test_what_maxar_does_not_know_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.imd").write_text(IMD.replace("cloudCover = 0.018", "cloudCover = -999.000000"))
    found = read_sidefiles(tmp_path / "a.tif")
    assert found.cloud_percent is None
    assert found.off_nadir_deg == 26.9


def test_a_mosaic_has_its_earliest_time_and_what_its_images_agree_on(tmp_path: Path) -> None:
    begin, end = IMD.index("BEGIN_GROUP = IMAGE_1"), IMD.index("BEGIN_GROUP = MAP_PROJECTED_PRODUCT")
    second = IMD[begin:end].replace("IMAGE_1", "IMAGE_2").replace("02:11:08", "02:10:08")
    second = second.replace("meanOffNadirViewAngle =  26.9", "meanOffNadirViewAngle =  11.2")
    (tmp_path / "a.IMD").write_text(IMD[:end] + second + IMD[end:])
    found = read_sidefiles(tmp_path / "a.TIF")
    assert found.acquired == datetime(2019, 3, 12, 2, 10, 8, 484783, tzinfo=UTC)
    assert (found.sensor, found.off_nadir_deg, found.sun_azimuth_deg) == ("WV02", None, 156.6)


@pytest.mark.parametrize(
    "image", ["IMG_a_R1C1.TIF", "IMG_a.JP2", "IMG_a_RGBN_R1C1.JP2", "DIM_a.XML"], ids=str.lower
)
def test_airbus_dimap(tmp_path: Path, image: str) -> None:
    (tmp_path / "DIM_a.XML").write_text(dimap())
    assert read_sidefiles(tmp_path / image) == PNEO4


def test_dimap_of_an_image_in_degrees_has_the_ground_resolution_it_was_taken_with(tmp_path: Path) -> None:
    (tmp_path / "DIM_a.XML").write_text(dimap(placed=PLACED.replace('"m"', '"deg"')))
    assert read_sidefiles(tmp_path / "IMG_a_R1C1.TIF").gsd_m == pytest.approx(0.36)


def test_a_dimap_mosaic_of_two_satellites(tmp_path: Path) -> None:
    other = SOURCE.replace(">4<", ">3<").replace("07:22:04.4", "07:20:00")
    (tmp_path / "DIM_a.XML").write_text(dimap(source=SOURCE + other))
    found = read_sidefiles(tmp_path / "IMG_a_R1C1.TIF")
    assert (found.acquired, found.sensor) == (datetime(2023, 7, 26, 7, 20, tzinfo=UTC), None)


def test_dimap_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "METADATA.DIM").write_text(SPOT5)
    assert read_sidefiles(tmp_path / "IMAGERY.TIF") == Facts(
        acquired=datetime(2006, 10, 23, 2, 36, 53, tzinfo=UTC),
        sensor="SPOT5",
        off_nadir_deg=14.4,
        incidence_deg=16.5,
        sun_azimuth_deg=162.1,
        sun_elevation_deg=37.2,
        level="1A",
        source="METADATA.DIM",
    )
    assert read_sidefiles(tmp_path / "other.TIF") == Facts()


@pytest.mark.parametrize(
    "image",
    ["20190312_021108_ssc1d1_0012_visual.tif", "20190312_021108_ssc1d1_0012_3B_AnalyticMS_SR.tif"],
    ids=["visual", "analytic"],
)
def test_planet_json(tmp_path: Path, image: str) -> None:
    (tmp_path / "20190312_021108_ssc1d1_0012_metadata.json").write_text(json.dumps(PLANET))
    assert read_sidefiles(tmp_path / image) == Facts(
        acquired=datetime(2019, 3, 12, 2, 11, 8, 750000, tzinfo=UTC),
        sensor="SSC1",
        gsd_m=0.8,
        off_nadir_deg=8.1,
        sun_azimuth_deg=176.4,
        sun_elevation_deg=46.9,
        cloud_percent=7,
        source="20190312_021108_ssc1d1_0012_metadata.json",
    )


def test_planet_json_of_another_scene_says_nothing(tmp_path: Path) -> None:
    """Its name is the beginning of the scene's, as that of many a file is; its id is not."""
    (tmp_path / "camp_metadata.json").write_text(json.dumps(PLANET))
    assert read_sidefiles(tmp_path / "camp_2021.tif") == Facts()
    assert read_sidefiles(tmp_path / "camp.tif").sensor == "SSC1"
    (tmp_path / "camp_metadata.json").write_text("{}")
    assert read_sidefiles(tmp_path / "camp_2021.tif") == Facts()
    (tmp_path / "camp_metadata.json").write_text("{")
    with pytest.raises(CatalogError, match=r"camp_metadata\.json: expected metadata of a scene"):
        read_sidefiles(tmp_path / "camp_2021.tif")


def test_a_stac_item_beside_the_scene(tmp_path: Path) -> None:
    properties = {"datetime": "2019-03-12T02:11:08Z", "platform": "GE01", "view:off_nadir": 12, "gsd": 0.41}
    item = {"type": "Feature", "stac_version": "1.0.0", "properties": properties}
    (tmp_path / "a.json").write_text(json.dumps(item))
    assert read_sidefiles(tmp_path / "a.tif") == Facts(
        acquired=datetime(2019, 3, 12, 2, 11, 8, tzinfo=UTC),
        sensor="GE01",
        gsd_m=0.41,
        off_nadir_deg=12,
        source="a.json",
    )


def test_a_span_of_time_counts_within_a_day() -> None:
    span = {
        "datetime": None,
        "start_datetime": "2019-03-12T02:11:08Z",
        "end_datetime": "2019-03-12T02:11:38Z",
    }
    assert stac_facts(span).acquired == datetime(2019, 3, 12, 2, 11, 8, tzinfo=UTC)
    assert stac_facts({**span, "end_datetime": "2019-03-14T02:11:38Z"}).acquired is None


def test_files_of_the_same_name_that_are_no_side_files_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"type": "FeatureCollection", "features": []}')
    (tmp_path / "a.xml").write_text("<metadata><idinfo/></metadata>")
    assert read_sidefiles(tmp_path / "a.tif") == Facts()
    (tmp_path / "a_metadata.json").write_text(json.dumps(PLANET))
    assert read_sidefiles(tmp_path / "a.tif").sensor == "SSC1"


def test_of_several_side_files_the_first_speaks(tmp_path: Path) -> None:
    (tmp_path / "a.IMD").write_text(IMD)
    (tmp_path / "a_metadata.json").write_text(json.dumps(PLANET))
    assert read_sidefiles(tmp_path / "a.tif").source == "a.IMD"


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb">]><Dimap_Document>&b;</Dimap_Document>'


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.IMD", IMD.replace("END;", ""), "END;"),
        ("a.IMD", "no group at all", "BEGIN_GROUP"),
        ("a.IMD", IMD.replace("=  39.1", "= high"), "MEANSUNEL is 'high'"),
        ("a.IMD", IMD.replace("=  39.1", "= 139.1"), "sun_elevation_deg from -90 to 90"),
        ("a.IMD", IMD.replace("2019-03-12T02:11:08.484783Z", "yesterday"), "FIRSTLINETIME is 'yesterday'"),
        ("a.XML", ISD[:-20], "unclosed token"),
        ("a.XML", ISD.replace("3.910000000000000e+01", "nan"), "MEANSUNEL is 'nan'"),
        ("IMG_a.XML", BOMB, "EntitiesForbidden"),
        ("a_metadata.json", json.dumps(PLANET)[:-1], "Expecting"),
        ("a_metadata.json", '{"type": "Feature", "properties": {}}', "other content"),
        ("a_metadata.json", json.dumps(PLANET).replace("46.9", '"low"'), "sun_elevation is 'low'"),
        ("a_metadata.json", json.dumps(PLANET).replace('"SSC1"', "[1]"), "sensor"),
        ("a_metadata.json", "[1]", "other content"),
        ("a.XML", '<?xml version="1.0" encoding="klingon"?><isd/>', "unknown encoding: klingon"),
        ("a.json", '{"stac_version": "1.0.0", "properties": {"gsd": 1%s}}' % ("0" * 400), "too large"),
        ("a.json", "[" * 100_000, "recursion"),
    ],
)
def test_a_malformed_side_file_is_named(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (tmp_path / name).write_text(content)
    scene = tmp_path / f"{Path(name).stem.removesuffix('_metadata')}.tif"
    with pytest.raises(CatalogError) as caught:
        read_sidefiles(scene)
    assert str(tmp_path / name) in str(caught.value)
    assert reason in str(caught.value)


def test_a_scene_by_itself(tmp_path: Path) -> None:
    assert read_sidefiles(tmp_path / "a.tif") == Facts()


def test_facts_are_checked_when_made() -> None:
    east = timezone(timedelta(hours=9))
    assert Facts(acquired=datetime(2019, 3, 12, 11, tzinfo=east)).acquired == datetime(
        2019, 3, 12, 2, tzinfo=UTC
    )
    with pytest.raises(CatalogError, match="with its zone"):
        Facts(acquired=datetime(2019, 3, 12))  # noqa: DTZ001 (the point)
    with pytest.raises(CatalogError, match="gsd_m"):
        Facts(gsd_m=0)
    with pytest.raises(CatalogError, match="cloud_percent"):
        Facts(cloud_percent=float("nan"))


def test_what_is_known_comes_before_the_others() -> None:
    mine, others = Facts(sensor="WV02", cloud_percent=0), Facts(sensor="GE01", gsd_m=0.4, cloud_percent=3)
    assert mine.over(others) == Facts(sensor="WV02", gsd_m=0.4, cloud_percent=0)
