]ÂžNPÀo¾yÄj|£ÝoÕ¼p\É
©ZXvå¯­‘ñÂ&G±*Oóƒ'Í³­“¬cWzËýA$yTÚãCT˜¿